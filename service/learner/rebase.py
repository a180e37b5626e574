"""`freshet log rebase`: take the present event log for ours, after it was wiped or restored.

The head's position stays, and the log is told to give out ids above it, so that every event from
now on is learned. What a restored log holds above the position is learned, too; what stands at or
below it is passed over, since most of it has been learned already.
"""

from __future__ import annotations

from dataclasses import dataclass

import redis

from service.domain.interactions import Position
from service.storage.event_log import EventLog
from service.storage.keys import Keys
from service.storage.registry import Registry


@dataclass(frozen=True, slots=True)
class Rebased:
    """What the rebase did."""

    before: str | None
    after: str
    position: Position
    to_learn: int
    """Events in the log behind the position."""


def rebase(registry: Registry, log: EventLog, client: redis.Redis, keys: Keys) -> Rebased:
    """Make the log the registry's, and its ids go on above the head's position.

    Another registry that had the log halts from now on.

    Raises:
        Unavailable: the log's server does not answer.
    """
    before, after = registry.incarnation(), log.incarnation()
    position = registry.head().position
    if log.last() < position:
        _continue_above(client, keys, position)
    log.take(registry.mark())
    registry.set_incarnation(after)
    return Rebased(before, after, position, log.events_after(position))


def _continue_above(client: redis.Redis, keys: Keys, position: Position) -> None:
    """XSETID needs the stream to exist: an empty one is made by an entry that is deleted again."""
    if not client.exists(keys.log):
        made = client.xadd(keys.log, {b"v": b"0"}, id="0-1")
        client.xdel(keys.log, made)
    client.execute_command("XSETID", keys.log, str(position))  # type: ignore[no-untyped-call]
