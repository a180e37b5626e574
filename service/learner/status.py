"""What the learner says about itself: one small document in Redis, renewed by a heartbeat.

The api shows it in `/v1/admin/status` and `/metrics`. It is no truth: nothing is decided by it but
whether a learner that was fenced may take over.

    learner_id, pid, since_ms   who speaks, and since when
    state                       see `State`
    detail                      a sentence, when there is something to say
    epoch, version, position    the tip, and how far the log is learned
    lag_events, next_update_ms  what is not learned yet, and when it will be cut at the latest
    last_update                 the last window's version, verdict, counts, seconds, positions/s
    updates, refused            windows published and refused since the start
    verdicts                    windows since the start by the gate's verdict
    repeats, dead_letters       events dropped as repeats since the start; undecodable entries
    dedupe_ids, dedupe_from_ms  the window of remembered event ids: how many, and since when
    buffer                      samples in the replay buffer
    drift                       the detector, its last alarm and the windows since; null for none
    drift_alarms                alarms since the start
    job_id                      the job in work
"""

from __future__ import annotations

import os
from enum import StrEnum

import redis
import structlog

from service.learner.committing import Committed
from service.learner.learning import Lesson
from service.storage.clock import now_ms
from service.storage.heartbeat import Heartbeat
from service.storage.keys import Keys
from service.storage.presence import LIFE_MS

log = structlog.get_logger()


class State(StrEnum):
    """What a learner does."""

    STARTING = "starting"
    WAITING = "waiting"
    LEARNING = "learning"
    HALTED = "halted"
    STANDBY = "standby"
    DOWN = "down"
    """A store does not answer; it tries again."""


class Status(Heartbeat):
    """The document, and the thread that renews it.

    A learner on standby is silent: the document belongs to the one that holds the epoch.
    """

    def __init__(self, client: redis.Redis, keys: Keys, *, life_ms: int = LIFE_MS) -> None:
        super().__init__(client, keys.learner, "learner_id", life_ms)
        self.say(
            state=State.STARTING,
            pid=os.getpid(),
            since_ms=now_ms(),
            updates=0,
            refused=0,
            verdicts={},
            repeats=0,
            drift_alarms=0,
        )

    @property
    def is_silent(self) -> bool:
        return bool(self._fields["state"] == State.STANDBY)

    def turn(self, state: State, detail: str | None = None) -> None:
        """Change the state; the log has a line for each change, not for each look."""
        if (self._fields["state"], self._fields.get("detail")) != (state, detail):
            quiet = state in (State.WAITING, State.LEARNING, State.STARTING)
            (log.info if quiet else log.warning)("learner", state=state.value, detail=detail)
        if state == State.STANDBY and self._fields["state"] != State.STANDBY:
            self.listen()
        self.say(state=state, detail=detail)

    def learned(self, lesson: Lesson, done: Committed) -> None:
        """Count an update, and keep its numbers as the last ones."""
        numbers = (
            "events",
            "positive",
            "repeats",
            "update_s",
            "positions_per_s",
            "prequential",
            "drift",
        )
        counter = "updates" if done.accepted else "refused"
        verdict, verdicts = lesson.gate["verdict"], self._fields["verdicts"]
        drift = lesson.metrics.get("drift", {})
        self.say(
            **{counter: self._fields[counter] + 1},
            verdicts={**verdicts, verdict: verdicts.get(verdict, 0) + 1},
            repeats=self._fields["repeats"] + lesson.metrics.get("repeats", 0),
            drift_alarms=self._fields["drift_alarms"] + drift.get("alarm", False),
            last_update={
                "version": done.version,
                "accepted": done.accepted,
                "verdict": verdict,
                "at_ms": now_ms(),
                **{name: lesson.metrics[name] for name in numbers if name in lesson.metrics},
            },
        )
        log.info("window", **self._fields["last_update"])
        if drift.get("alarm"):
            log.warning("drift: recall has fallen", version=done.version, **drift)
