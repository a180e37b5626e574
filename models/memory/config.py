"""What the fast memory keeps, and for how long: one page of bounds."""

from __future__ import annotations

from dataclasses import dataclass, fields

HOUR_S = 3_600.0
WIDEST = 10_000
"""Neighbours of an item, at most: rows are laid out whole, and read whole in every answer."""


@dataclass(frozen=True, slots=True)
class MemoryConfig:
    """Bounds and half-lives of the fast memory.

    Attributes:
        max_items: items known at once; above it those that happened least of late are dropped.
        width: neighbours kept of an item in each graph, the strongest: 8 bytes each in two graphs.
        sessions: latest users (or sessions) whose events are kept.
        session_length: latest events kept of each.
        sessions_per_item: latest sessions in which an item can be found again.
        reach: steps of a user's stream that a pair may span; a basket is one step.
        half_life_h: of co-visits, transitions and popularity.
        trending_half_life_h: of what trends.
        fast_half_life_h: of fast popularity.
    """

    max_items: int = 200_000
    width: int = 100
    sessions: int = 30_000
    session_length: int = 50
    sessions_per_item: int = 200
    reach: int = 10
    half_life_h: float = 1_440.0
    trending_half_life_h: float = 24.0
    fast_half_life_h: float = 0.5

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ValueError(f"{field.name}: must be above 0, got {getattr(self, field.name)}")
        if self.width > WIDEST:
            raise ValueError(f"width: must not be above {WIDEST}, got {self.width}")
        if self.session_length < self.reach:
            raise ValueError("session_length: must not be below reach, which looks back so far")
