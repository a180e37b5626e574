"""What an event is worth as a signal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class EventWeights:
    """Weights of the event types, and the values from which some of them count.

    Args:
        types: event type → weight; 0 is no positive signal.
        positive_from: event type → value below which an event of it is no positive signal.
    """

    types: Mapping[str, float]
    positive_from: Mapping[str, float] = field(default_factory=dict)

    def weight(self, event_type: str, value: float | None) -> float:
        """The weight of one event; 0 when it is no positive signal or its type is not known."""
        threshold = self.positive_from.get(event_type)
        if threshold is not None and value is not None and value < threshold:
            return 0.0
        return self.types.get(event_type, 0.0)
