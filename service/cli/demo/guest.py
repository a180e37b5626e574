"""The demo's guest: one user whose recommendations are asked before and after a few clicks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx

from service.cli.demo.feeder import Feeder

GUEST: Final = "demo-guest"
_CLICKS: Final = 3
_SHOWN: Final = 6


@dataclass(frozen=True, slots=True)
class Visit:
    """What the guest was shown, what was clicked, and what was shown next."""

    before: tuple[str, ...]
    clicked: tuple[str, ...]
    after: tuple[str, ...]
    source: str
    """`personalized` once the guest has a history that the model can read."""
    version: int
    answer_ms: float
    """Time from the acknowledgement of the clicks to the answer that knows them."""


class Guest(threading.Thread):
    """A thread that follows, every few seconds, three steps of what some user has done.

    Args:
        api: base address of the service.
        feeder: knows what users have done.
        learned: the number of the row that the model has learned up to.
        every_s: time between two visits.
    """

    def __init__(
        self, api: str, feeder: Feeder, learned: Callable[[], int], every_s: float = 10.0
    ) -> None:
        super().__init__(name="guest", daemon=True)
        self._api = api
        self._feeder = feeder
        self._learned = learned
        self._every_s = every_s
        self._enough = threading.Event()
        self.visit: Visit | None = None

    def stop(self) -> None:
        self._enough.set()

    def run(self) -> None:
        with httpx.Client(base_url=self._api, timeout=5.0) as client:
            while not self._enough.wait(1.0 if self.visit is None else self._every_s):
                story = self._feeder.story(self._learned())[:_CLICKS]
                if not story:
                    continue
                try:
                    self.visit = self._go(client, story)
                except (httpx.HTTPError, KeyError):
                    continue  # the service is being restarted; next time

    def _go(self, client: httpx.Client, story: tuple[str, ...]) -> Visit:
        before = self._ask(client)
        clicks = [{"user_id": GUEST, "item_id": item} for item in story]
        client.post("/v1/events", json={"events": clicks}).raise_for_status()
        clicked_s = time.perf_counter()
        after = self._ask(client)
        answer_ms = 1000 * (time.perf_counter() - clicked_s)
        return Visit(
            _items(before), story, _items(after), after["source"], after["model_version"], answer_ms
        )

    def _ask(self, client: httpx.Client) -> dict[str, Any]:
        answer = client.get(f"/v1/users/{GUEST}/recommendations", params={"limit": _SHOWN})
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


def _items(answer: dict[str, Any]) -> tuple[str, ...]:
    return tuple(item["item_id"] for item in answer["items"])
