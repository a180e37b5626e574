"""Drift in the service: an alarm when recall falls, and what the next windows do about it.

Everything is read from what the registry has of the windows that led to the tip: the scores that a
detector is asked about, and the alarms, each recorded with the window whose score raised it. So a
learner that starts anew, goes back or learns again decides the same. A detector begins anew behind
an alarm; the windows after one are cut sooner and learned at another rate, which is written down
with each before it is learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from models.continual.drift import Adwin, Detector, PageHinkley, Score
from service.domain.versions import Head
from service.sections import DriftSettings
from service.storage.registry import Registry


@dataclass(frozen=True, slots=True)
class Reaction:
    """What an alarm does to the next window: factors of the interval and the learning rate."""

    interval: float = 1.0
    rate: float = 1.0


CALM = Reaction()


class Drift:
    """Judges scores, and says how to go on.

    Args:
        registry: what the windows before were.
        settings: the detector and the reaction.
        top_k: K of the recall that is watched.
    """

    def __init__(self, registry: Registry, settings: DriftSettings, top_k: int) -> None:
        self._registry = registry
        self._settings = settings
        self._recall = f"recall@{top_k}"
        self._detector = detector_of(settings)
        self._seen: tuple[tuple[object, ...], list[dict[str, Any]]] = ((), [])

    def judged(self, head: Head, prequential: dict[str, Any]) -> dict[str, Any]:
        """What to record of a window on `head` that has these scores; empty without a detector.

        Returns:
            `detector`, `alarm`, and of an alarm the mean recall `before` and `after` the change.
        """
        score = self._score(prequential)
        if self._detector is None or score is None:
            return {}
        lessons = self._lessons(head)
        since = lessons[_behind_alarm(lessons) :][-(self._settings.memory - 1) :]
        known = (self._score(lesson.get("prequential", {})) for lesson in since)
        alarm = self._detector.alarm([*(one for one in known if one is not None), score])
        found = {"detector": self._settings.detector, "alarm": alarm is not None}
        return found if alarm is None else found | asdict(alarm)

    def reaction(self, head: Head) -> Reaction:
        """How the window after `head` is to be cut and learned."""
        since = self._since_alarm(head)
        if since is None or since >= self._settings.windows:
            return CALM
        return Reaction(self._settings.interval_factor, self._settings.learning_rate_factor)

    def said(self, head: Head) -> dict[str, Any] | None:
        """For the status: the last alarm and the windows since; None without a detector."""
        if self._detector is None:
            return None
        since, lessons = self._since_alarm(head), self._lessons(head)
        last = None if since is None else lessons[-1 - since]
        return {
            "detector": self._settings.detector,
            "windows_since": since,
            "alarm": None
            if last is None
            else {
                "window_id": last["window"]["window_id"],
                "end": last["window"]["end"],
                "before": last["drift"]["before"],
                "after": last["drift"]["after"],
            },
        }

    def _since_alarm(self, head: Head) -> int | None:
        """How many windows were committed since the last alarm; None when there was none."""
        if self._detector is None:
            return None
        lessons = self._lessons(head)
        behind = _behind_alarm(lessons)
        return len(lessons) - behind if behind else None

    def _score(self, prequential: dict[str, Any]) -> Score | None:
        """None for a window without targets, or one scored under another K."""
        if not prequential.get("n") or self._recall not in prequential:
            return None
        return Score(prequential[self._recall], prequential["n"])

    def _lessons(self, head: Head) -> list[dict[str, Any]]:
        """What is recorded of the windows up to `head`, read once for each head."""
        place = (head.generation, head.tip, head.position)
        if self._seen[0] != place:
            most = max(self._settings.memory, self._settings.windows + 1)
            self._seen = place, self._registry.lessons(head.tip, most)
        return self._seen[1]


def detector_of(settings: DriftSettings) -> Detector | None:
    """The detector that the settings name; None for `none`."""
    if settings.detector == "adwin":
        return Adwin(settings.adwin_delta)
    if settings.detector == "page-hinkley":
        return PageHinkley(settings.tolerance, settings.threshold, settings.min_windows)
    return None


def _behind_alarm(lessons: Sequence[dict[str, Any]]) -> int:
    """The place behind the last alarm; 0 when there is none."""
    alarms = [lesson.get("drift", {}).get("alarm", False) for lesson in lessons]
    return len(alarms) - alarms[::-1].index(True) if True in alarms else 0
