"""Asks the service, once a second, for what the demo shows: all of it is public, by HTTP."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

_KEPT: Final = 24
"""Windows that the curves reach back."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one version says about itself."""

    version: int
    status: str
    fresh: float | None
    """Recall of the model on events it had not learned."""
    fresh_popularity: float | None
    """Recall of popularity on the same events."""
    old: float | None
    """Recall of this version on probes of past periods."""
    old_before: float | None
    """Recall of the version it replaced, on the same probes."""
    positions_per_s: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Observation:
    """The state of the service at one look."""

    version: int = 0
    learned_until: str | None = None
    lag_events: int | None = None
    lessons: tuple[Lesson, ...] = field(default=())
    """Oldest first."""
    error: str | None = None


class Observer(threading.Thread):
    """A thread that renews `latest` until it is stopped."""

    def __init__(self, api: str, every_s: float = 1.0) -> None:
        super().__init__(name="observer", daemon=True)
        self._api = api
        self._every_s = every_s
        self._enough = threading.Event()
        self.latest = Observation()

    def stop(self) -> None:
        self._enough.set()

    def run(self) -> None:
        with httpx.Client(base_url=self._api, timeout=5.0) as client:
            while not self._enough.wait(self._every_s):
                self.latest = self.look(client)

    def look(self, client: httpx.Client) -> Observation:
        """Look once; an unreachable service keeps the last numbers and says so."""
        try:
            models = (
                client.get("/v1/admin/models", params={"limit": _KEPT + 1})
                .raise_for_status()
                .json()["models"]
            )
            status = client.get("/v1/admin/status").raise_for_status().json()
        except (httpx.HTTPError, KeyError, ValueError) as error:
            return Observation(
                self.latest.version,
                self.latest.learned_until,
                self.latest.lag_events,
                self.latest.lessons,
                type(error).__name__,
            )
        return observed(models, status)


def observed(models: list[dict[str, Any]], status: Mapping[str, Any]) -> Observation:
    """What the two answers of the admin endpoints say."""
    rows = sorted(models, key=lambda row: row["version"])
    active = next((row for row in rows if row["status"] == "active"), None)
    return Observation(
        version=active["version"] if active else 0,
        learned_until=active.get("learned_until") if active else None,
        lag_events=dig(status, "event_log", "lag_events"),
        lessons=tuple(lesson(row) for row in rows if row["version"] > 1)[-_KEPT:],
    )


def lesson(row: Mapping[str, Any]) -> Lesson:
    """One line of `GET /v1/admin/models`."""
    return Lesson(
        version=row["version"],
        status=row["status"],
        fresh=_recall(dig(row, "metrics", "prequential")),
        fresh_popularity=_recall(dig(row, "metrics", "prequential", "popularity")),
        old=_recall(dig(row, "gate", "old")),
        old_before=_recall(dig(row, "gate", "old"), "reference_recall@"),
        positions_per_s=dig(row, "metrics", "positions_per_s"),
        verdict=str(dig(row, "gate", "verdict") or ""),
    )


def dig(found: Any, *path: str) -> Any:
    """A nested value; None where the path ends early."""
    for name in path:
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def _recall(found: Any, prefix: str = "recall@") -> float | None:
    if not isinstance(found, Mapping):
        return None
    for name, value in found.items():
        if name.startswith(prefix) and isinstance(value, int | float):
            return float(value)
    return None
