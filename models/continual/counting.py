"""Methods that remember how many updates there were, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Self

import torch
from torch import Tensor

from models.continual.fisher import Fisher
from models.continual.method import Method
from models.parameters import Snapshot


class Counting(Method):
    """The base of those; each consolidation counts."""

    updates: int = 0

    def at(self, updates: int) -> Self:
        """A copy after so many updates."""
        twin = copy(self)
        twin.updates = updates
        return twin

    def consolidate(self, learned: Snapshot, fisher: Fisher) -> Self:
        return self.at(self.updates + 1)

    def state_dict(self) -> dict[str, Tensor]:
        return {"updates": torch.tensor([self.updates])}

    def load(self, tensors: Mapping[str, Tensor]) -> Self:
        return self.at(int(tensors["updates"]))
