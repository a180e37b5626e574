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
import threading
import time
import uuid
from enum import StrEnum
from typing import Any

import msgspec
import redis
import structlog

from service.errors import Unavailable
from service.learner.committing import Committed
from service.learner.learning import Lesson
from service.storage.clock import now_ms
from service.storage.keys import Keys
from service.storage.presence import LIFE_MS, LearnerPresence

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


class Status:
    """The document, and the thread that renews it.

    A learner on standby is silent: the document belongs to the one that holds the epoch.
    """

    def __init__(self, client: redis.Redis, keys: Keys, *, life_ms: int = LIFE_MS) -> None:
        self.learner_id = uuid.uuid4().hex
        self._client = client
        self._key = keys.learner
        self._presence = LearnerPresence(client, keys, life_ms=life_ms)
        self._life_s = life_ms / 1_000
        self._fields: dict[str, Any] = {
            "state": State.STARTING,
            "pid": os.getpid(),
            "since_ms": now_ms(),
            "updates": 0,
            "refused": 0,
            "verdicts": {},
            "repeats": 0,
            "drift_alarms": 0,
        }
        self._heard_s = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Fall silent."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=self._life_s)

    def say(self, **fields: Any) -> None:
        """Replace `fields` in what the next beats say."""
        self._fields = {**self._fields, **fields}

    def turn(self, state: State, detail: str | None = None) -> None:
        """Change the state; the log has a line for each change, not for each look."""
        if (self._fields["state"], self._fields.get("detail")) != (state, detail):
            quiet = state in (State.WAITING, State.LEARNING, State.STARTING)
            (log.info if quiet else log.warning)("learner", state=state.value, detail=detail)
        if state == State.STANDBY and self._fields["state"] != State.STANDBY:
            self._heard_s = time.monotonic()
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

    @property
    def fields(self) -> dict[str, Any]:
        """What is said now."""
        return self._fields

    def is_another_alive(self) -> bool:
        """Whether another learner has been heard of within the life of a heartbeat.

        A learner that has just been fenced hears nobody at first, so it waits as long in any case.
        """
        found = self._client.get(self._key)
        if found is not None:
            said = msgspec.json.decode(found)
            if said.get("learner_id") != self.learner_id:
                self._heard_s = time.monotonic()
        return time.monotonic() - self._heard_s < self._life_s

    def beat(self) -> None:
        """Say it once."""
        if self._fields["state"] == State.STANDBY:
            return
        self._presence.beat({"learner_id": self.learner_id, **self._fields})

    def _renew(self) -> None:
        while not self._ended.wait(min(1.0, self._life_s / 4)):
            try:
                self.beat()
            except Unavailable:
                continue  # the loop meets the same and says so
