"""Is this event log the one that the head's position belongs to?

A wiped log has another incarnation. One that was restored from an older copy may give out ids that
lie below the position, which would never be learned. In both cases learning halts, in words, and
the api serves on; `freshet log rebase` settles it.
"""

from __future__ import annotations

from service.domain.versions import Head
from service.errors import LogIncarnationMismatch
from service.storage.event_log import EventLog
from service.storage.registry import Registry


def check_log(registry: Registry, log: EventLog, head: Head) -> None:
    """See that the log is ours and reaches the head's position.

    The first log that a registry meets becomes its own.

    Raises:
        LogIncarnationMismatch: it is not; the message says what to do.
    """
    found, known = log.incarnation(), registry.incarnation()
    if known is None:
        registry.set_incarnation(found)
        known = found
    if found != known:
        raise LogIncarnationMismatch(
            f"the event log is another one (incarnation {found}, the registry knows {known}): "
            "it was wiped or replaced. Restore it, or accept it by `freshet log rebase`"
        )
    last = log.last()
    if last < head.position:
        raise LogIncarnationMismatch(
            f"the event log ends at {last}, before the learned position {head.position}: it was "
            "restored from an older copy. Restore a newer one, or accept it by `freshet log rebase`"
        )
