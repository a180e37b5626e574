"""Is this event log ours, and the one that the head's position belongs to?

A log is learned from by one registry, whose mark it carries: two services on one log would each
take the other's events for their own. A wiped log has another incarnation. One that was restored
from an older copy may give out ids that lie below the position, which would never be learned. In
each case learning halts, in words, and the api serves on; `freshet log rebase` settles it.
"""

from __future__ import annotations

from service.domain.versions import Head
from service.errors import LogIncarnationMismatch
from service.storage.event_log import EventLog
from service.storage.registry import Registry


def check_log(registry: Registry, log: EventLog, head: Head) -> None:
    """See that the log is ours and reaches the head's position.

    The first log that a registry meets becomes its own, unless it is another registry's.

    Raises:
        LogIncarnationMismatch: it is not; the message says what to do.
    """
    found, known = log.incarnation(), registry.incarnation()
    if known is not None and found != known:
        raise LogIncarnationMismatch(
            f"the event log is another one (incarnation {found}, the registry knows {known}): "
            "it was wiped or replaced. Restore it, or accept it by `freshet log rebase`"
        )
    _check_owner(registry.mark(), log)
    if known is None:
        registry.set_incarnation(found)
    last = log.last()
    if last < head.position:
        raise LogIncarnationMismatch(
            f"the event log ends at {last}, before the learned position {head.position}: it was "
            "restored from an older copy. Restore a newer one, or accept it by `freshet log rebase`"
        )


def _check_owner(mark: str, log: EventLog) -> None:
    owner = log.claim(mark)
    if owner != mark:
        raise LogIncarnationMismatch(
            f"the event log is another registry's (its mark is {owner}, ours {mark}): another "
            "service learns from it, or the registry's database was lost. Set FRESHET_NAMESPACE or "
            "FRESHET_REDIS_URL to have a log apart, restore the database, or take the log over by "
            "`freshet log rebase`, which halts the other"
        )
