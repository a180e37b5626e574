"""Fine-tuning: the encoder's lower layers stand still, and learn again one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import torch
from torch import Tensor

from models.config import LearningConfig
from models.continual.counting import Counting
from models.continual.method import counted
from models.registry import encoders_of

if TYPE_CHECKING:
    from models.nets import Recommender


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of fine-tuning."""

    layers: int = 1
    """How many of the encoder's layers, counted from the inputs, stand still."""
    unfreeze: int = 0
    """One more of them learns after every so many updates, the highest first; 0: none ever."""
    after: int = 1
    """Updates in which everything learns, before any layer stands still."""

    def __post_init__(self) -> None:
        for name in ("layers", "unfreeze", "after"):
            counted(name, getattr(self, name), 0)


class FineTuning(Counting):
    """After its first updates the lowest layers of the encoder stand still, fewer as time goes by.

    Rows, heads, the temperature and what is grown on the encoder learn on. A layer that stands
    still keeps its moments, too, so that it goes on where it left.

    Source: Howard and Ruder, 2018 (arXiv 1801.06146), section 3.3, gradual unfreezing; freezing by
    layer, Yosinski et al., 2014 (arXiv 1411.1792). Deviations: an update stands for an epoch; item
    rows, the lowest layer there, are what answers are made of here and never stand still; one rate
    for all layers, no slanted triangle.
    """

    name = "fine-tuning"
    encoders = encoders_of(name)
    parameter_type: ClassVar = Parameters

    def __init__(self, parameters: Parameters, updates: int = 0) -> None:
        self.parameters = parameters
        self.updates = updates

    @classmethod
    def initial(cls, config: LearningConfig) -> Self:
        return cls(cls.chosen(config))

    def held(self, net: Recommender) -> Tensor | None:
        depths = net.base.depths(net.items.dim)
        still = self.still(int(depths.max()) + 1)
        if not still:
            return None
        held = torch.zeros(len(net.dense), dtype=torch.bool)
        held[: len(depths)] = depths < still  # the encoder's weights lie before all others
        return held

    def still(self, layers: int) -> int:
        """How many of so many layers stand still in the next update."""
        since, given = self.updates - self.parameters.after, self.parameters
        if since < 0:
            return 0
        thawed = since // given.unfreeze if given.unfreeze else 0
        return max(0, min(given.layers, layers) - thawed)
