"""Experience replay: a bounded uniform sample of everything that was trained on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from models.config import LearningConfig
from models.continual.method import EVERY, Method
from models.continual.moments import Rehearsal
from models.continual.selection import RULES, keyed
from models.interactions import Event, Sample

if TYPE_CHECKING:
    from models.continual.state import LearningState


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of experience replay; the buffer's bounds and the ratio of a draw are settings themselves."""

    keep: str = "uniform"
    """What the buffer keeps: `uniform`, `period`, `loss` or `herding`."""

    def __post_init__(self) -> None:
        if self.keep not in RULES:
            raise ValueError(f"keep: must be one of {', '.join(RULES)}, got {self.keep!r}")


class Replay(Method):
    """Experience replay: samples kept from earlier updates are learned again beside the new ones.

    Source: Rolnick et al., 2019 (arXiv 1811.11682). Deviation: `models.continual.buffer` and
    the keys of `models.continual.selection` decide what is kept, not a reservoir.
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
