"""Transfer: what was learned before is taken over as it is, and only the rest learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from torch import Tensor

from models.config import LearningConfig
from models.continual.counting import Counting
from models.continual.method import EVERY, counted

if TYPE_CHECKING:
    from models.nets import Recommender


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of feature extraction."""

    after: int = 1
    """Updates in which everything learns, before the encoder stands still."""

    def __post_init__(self) -> None:
        counted("after", self.after, 0)


class FeatureExtraction(Counting):
    """After its first updates the encoder stands still, heads and temperature with it, and the rows
    learn; beside methods that grow something on the encoder, so does what is grown.

    Source: Yosinski et al., 2014 (arXiv 1411.1792); as a control for continual learning Li and
    Hoiem, 2016 (arXiv 1606.09282), "feature extraction".
    """

    name = "feature-extraction"
    encoders = EVERY
    parameter_type: ClassVar = Parameters

    def __init__(self, after: int, updates: int = 0) -> None:
        self.after = after
        self.updates = updates

    @classmethod
    def initial(cls, config: LearningConfig) -> Self:
        return cls(cls.chosen(config).after)

    def held(self, net: Recommender) -> Tensor | None:
        if self.updates < self.after:
            return None
        grown = (part.layout(net.items.dim) for part in (net.blocks, net.adapters))
        free = {name for layout in grown for name, _ in layout.shapes}
        names = {name for name, _ in net.layout.shapes} - free
        return net.layout.among(names, net.dense.device)
