"""Transfer: what was learned before is taken over as it is, and only the rest learns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from models.config import LearningConfig
from models.continual.fisher import Fisher
from models.continual.method import EVERY, Method, checked
from models.parameters import Snapshot


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of feature extraction."""

    after: int = 1
    """Updates in which everything learns, before the encoder stands still."""

    def __post_init__(self) -> None:
        checked("after", self.after, 0)


class FeatureExtraction(Method):
    """After its first updates the encoder stands still and the rows alone learn.

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

    def frozen(self) -> frozenset[str]:
        return frozenset({"dense"}) if self.updates >= self.after else frozenset()

    def consolidate(self, learned: Snapshot, fisher: Fisher) -> Self:
        return type(self)(self.after, self.updates + 1)

    def state_dict(self) -> dict[str, Tensor]:
        return {"updates": torch.tensor([self.updates])}

    def load(self, tensors: Mapping[str, Tensor]) -> Self:
        return type(self)(self.after, int(tensors["updates"]))
