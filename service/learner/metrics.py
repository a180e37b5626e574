"""The numbers that go with a version."""

from __future__ import annotations

from typing import Any

from models.continual.gate import Verdict
from service.domain.versions import WindowRecord
from service.learner.names import facts
from service.learner.opening import Material


def lesson_metrics(
    window: WindowRecord,
    material: Material,
    prequential: dict[str, Any],
    drift: dict[str, Any],
) -> dict[str, Any]:
    """What is known of a window before it is learned.

    `prequential` is test-then-train: the active model on events it has not learned, popularity
    beside it. `drift` is what a detector says of it; without one, nothing is recorded.
    """
    return {
        "window": facts(window),
        "events": window.events,
        "positive": sum(1 for event in material.events if event.weight > 0),
        "repeats": material.repeats,
        "replayed": len(material.draw),
        "prequential": prequential,
        **({"drift": drift} if drift else {}),
    }


def old_change(verdict: Verdict) -> float | None:
    """What the update did to older periods: mean change of recall over the age bands of probes but
    the newest. Like backward transfer, of one update; None without older probes."""
    names = [name for name in verdict.old if name.startswith("recall@")]
    bands = verdict.old.get("bands", [])[:-1]
    changes = [
        band[name] - band[f"reference_{name}"] for band in bands for name in names if name in band
    ]
    return sum(changes) / len(changes) if changes else None


def summary(metrics: dict[str, Any], gate: dict[str, Any]) -> dict[str, Any]:
    """What a job says of the last version it made: the gate's verdict and numbers, and scores."""
    return {
        "gate": gate,
        **{
            name: metrics[name]
            for name in ("prequential", "update_s", "positions_per_s", "old_change")
            if name in metrics
        },
    }
