"""Experience replay: a bounded uniform sample of everything that was trained on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

import numpy as np

from models.config import LearningConfig
from models.continual.method import EVERY, Method, Rehearsal
from models.continual.selection import RULES, keyed
from models.interactions import Event, Sample

if TYPE_CHECKING:
    from models.continual.state import LearningState

Kept = TypeVar("Kept")
"""What stands for a sample where it is kept: itself, or its name."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of experience replay; the buffer's size and the ratio of a draw are settings of their own."""

    keep: str = "uniform"
    """What the buffer keeps: `uniform`, `period`, `loss` or `herding`."""

    def __post_init__(self) -> None:
        if self.keep not in RULES:
            raise ValueError(f"keep: must be one of {', '.join(RULES)}, got {self.keep!r}")


class Replay(Method):
    """Experience replay: samples kept from earlier updates are learned again beside the new ones.

    Source: Rolnick et al., 2019 (arXiv 1811.11682). Deviation: `BottomK` and the keys of
    `models.continual.selection` decide what is kept, not a reservoir.
    """

    name = "replay"
    encoders = EVERY
    parameter_type: ClassVar = Parameters

    def __init__(self, keep: str = "uniform") -> None:
        self.keep = keep

    @classmethod
    def initial(cls, config: LearningConfig) -> Self:
        return cls(cls.chosen(config).keep)

    def rehearse(self, given: Rehearsal) -> Sequence[Sample]:
        return given.drawn

    def admits(self, trained: Sequence[Sample], learned: LearningState) -> Sequence[Sample]:
        return keyed(self.keep, trained, learned)


def draw_size(config: LearningConfig, events: Iterable[Event]) -> int:
    """How many old samples go with a window: `replay_ratio` for each new one.

    A user's positive events are counted as the samples they are cut into beside a full history,
    so the size is known before anything is cut; 0 without `replay`.
    """
    if "replay" not in config.methods:
        return 0
    targets = config.max_history - config.max_history // 4
    users = Counter(event.user_id for event in events if event.weight > 0)
    return math.ceil(config.replay_ratio * sum(-(-n // targets) for n in users.values()))


def draw_rule(candidates: Sequence[Kept], n: int, seed: int) -> list[Kept]:
    """The draw that a seed stands for: `n` without replacement, or all, from those in key order.

    The same rule whatever holds the samples, so that the same buffer gives the same draw.
    """
    size = min(n, len(candidates))
    if size <= 0:
        return []
    chosen = np.random.default_rng(seed).choice(len(candidates), size=size, replace=False)
    return [candidates[int(place)] for place in chosen]


class BottomK:
    """Keeps the `size` samples with the lowest keys.

    Keys are keyed hashes, so that is a uniform sample of all that was admitted, whatever the order
    and however often: admitting is idempotent, and buffers merge by admitting each other's
    samples. Sources: bottom-k sketches, Cohen and Kaplan, 2007; replay as in Rolnick et al., 2019
    (arXiv 1811.11682).
    """

    def __init__(self, size: int) -> None:
        if size < 0:
            raise ValueError(f"size: must be at least 0, got {size}")
        self.size = size
        self._kept: dict[int, Sample] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def admit(self, samples: Iterable[Sample]) -> None:
        """Take samples in and keep the lowest keys. One that is known by its key is known."""
        for sample in samples:
            self._kept.setdefault(sample.key, sample)
        if len(self._kept) > self.size:
            self._kept = {key: self._kept[key] for key in sorted(self._kept)[: self.size]}

    def draw(self, n: int, seed: int) -> list[Sample]:
        """`n` of the samples kept, or all when there are fewer; see `draw_rule`."""
        return draw_rule([self._kept[key] for key in sorted(self._kept)], n, seed)
