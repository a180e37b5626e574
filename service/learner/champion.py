"""The best version of the day: what keeps small losses from adding up.

Each update may lose a little against its parent and not be refused. So a candidate is also held
against the champion: the version of the last day that none of those after it has beaten on the old
data. The champion's number stands in the gate record of every version, so nothing else is kept.
"""

from __future__ import annotations

from service.domain.versions import FIRST_VERSION, Head, VersionStatus
from service.errors import NotFound
from service.learner.stores import Stores
from service.storage.clock import now_ms

DAY_MS = 24 * 3_600 * 1_000


def champion(stores: Stores, head: Head) -> int | None:
    """The version to hold a candidate against; None when that is the active one anyway."""
    registry = stores.registry
    named = registry.version(head.tip).gate.get("champion")
    if named is None or named in (head.active, FIRST_VERSION):
        return None
    try:
        record = registry.version(named)
    except NotFound:
        return None
    if record.status == VersionStatus.REJECTED or record.created_ms < now_ms() - DAY_MS:
        return None
    if not stores.checkpoints.exists(record.version, record.digest):  # of before a rollback
        return None
    return int(named)
