"""What the process of the fast memory says about itself, in `/v1/admin/status` and `/metrics`.

memory_id, pid, since_ms     who speaks, and since when
state, detail                see `State`; a sentence, when there is something to say
position, lag_events         how far the log is remembered, and what of it is not
generation, epoch            which numbering of rows is meant, and whose
items, sessions, bytes       what it holds, and the memory that it takes on the server
events, repeats              counted since the memory began, and dropped as repeats
undecodable, lost_events     entries passed over; events that the log had dropped unread
dedupe_ids, dedupe_from_ms   the window of remembered event ids: how many, and since when
"""

from __future__ import annotations

import os
from enum import StrEnum

import redis
import structlog

from service.storage.clock import now_ms
from service.storage.heartbeat import Heartbeat
from service.storage.keys import Keys
from service.storage.presence import LIFE_MS

log = structlog.get_logger()


class State(StrEnum):
    """What it does."""

    STARTING = "starting"
    KEEPING = "keeping"
    STANDBY = "standby"
    """Another process is the keeper."""
    DOWN = "down"
    """A store does not answer; it tries again."""


class Status(Heartbeat):
    """The document; of one on standby there is none, for it belongs to the keeper."""

    def __init__(self, client: redis.Redis, keys: Keys, *, life_ms: int = LIFE_MS) -> None:
        super().__init__(client, keys.memory_keeper, "memory_id", life_ms)
        self.say(state=State.STARTING, pid=os.getpid(), since_ms=now_ms())

    @property
    def is_silent(self) -> bool:
        return bool(self._fields["state"] == State.STANDBY)

    def turn(self, state: State, detail: str | None = None) -> None:
        """Change the state; the log has a line for each change, not for each look."""
        if (self._fields["state"], self._fields.get("detail")) == (state, detail):
            return
        quiet = state in (State.STARTING, State.KEEPING)
        (log.info if quiet else log.warning)("fast memory", state=state.value, detail=detail)
        if state == State.STANDBY:
            self.listen()
        self.say(state=state, detail=detail)
