"""What a process says about itself: one small document in Redis, renewed by a thread.

It is no truth: nothing is decided by it but whether one that was fenced may take over.
"""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any

import msgspec
import redis

from service.errors import Unavailable
from service.storage.connections import answering
from service.storage.presence import LIFE_MS


class Heartbeat:
    """The document, and the thread that renews it.

    Args:
        client: a client for threads.
        key: where it stands.
        who: the field that names this very process.
        life_ms: after which a silent process is taken for dead.
    """

    def __init__(self, client: redis.Redis, key: str, who: str, life_ms: int = LIFE_MS) -> None:
        self._id = uuid.uuid4().hex
        self._who = who
        self._client = client
        self._key = key
        self._life_ms = life_ms
        self._fields: dict[str, Any] = {}
        self._heard_s = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="heartbeat", daemon=True)

    @property
    def is_silent(self) -> bool:
        """Whether the document belongs to another just now."""
        return False

    @property
    def fields(self) -> dict[str, Any]:
        """What is said now."""
        return self._fields

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Fall silent."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=self._life_ms / 1_000)

    def say(self, **fields: Any) -> None:
        """Replace `fields` in what the next beats say."""
        self._fields = {**self._fields, **fields}

    def listen(self) -> None:
        """Begin to wait for another anew."""
        self._heard_s = time.monotonic()

    def is_another_alive(self) -> bool:
        """Whether another process has been heard of within the life of a heartbeat.

        One that has just been fenced hears nobody at first, so it waits as long in any case.
        """
        found = self._client.get(self._key)
        if found is not None:
            said = msgspec.json.decode(found)
            if said.get(self._who) != self._id:
                self._heard_s = time.monotonic()
        return time.monotonic() - self._heard_s < self._life_ms / 1_000

    def beat(self) -> None:
        """Say it once.

        Raises:
            Unavailable: the server does not answer.
        """
        if self.is_silent:
            return
        said = msgspec.json.encode({self._who: self._id, **self._fields})
        with answering("presence"):
            self._client.set(self._key, said, px=self._life_ms)

    def _renew(self) -> None:
        while not self._ended.wait(min(1.0, self._life_ms / 4_000)):
            try:
                self.beat()
            except Unavailable:
                continue  # the loop meets the same and says so
