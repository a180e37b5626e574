"""What a method against forgetting is, as far as it is a penalty.

A regularizer is a value: it answers with the quadratics that pull on an update, and after the
update makes the one that the next update starts with. It holds no trainer, optimizer or clock, and
a list of them may stand in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self

import torch
from torch import Tensor

from models.config import LearningConfig
from models.continual.fisher import Fisher
from models.continual.quadratic import Quadratic
from models.parameters import Snapshot


class Regularizer(Protocol):
    """A sum of quadratic penalties that is consolidated after every update.

    `needs_fisher` says whether `consolidate` reads the Fisher; `moves_anchor` whether the anchor
    is always the update's start, so that rows nobody touches feel no pull.
    """

    name: str
    needs_fisher: bool
    moves_anchor: bool

    @classmethod
    def initial(cls, config: LearningConfig) -> Self:
        """Before anything is consolidated: it pulls nowhere."""
        ...

    def grown(self, like: Snapshot) -> Self:
        """A copy on the device and with the shapes of `like`; new rows have no importance."""
        ...

    def pulls(self, start: Snapshot) -> Mapping[str, Quadratic]:
        """The penalty by parameter name, of the shapes of `start`.

        Args:
            start: the parameters that the update starts from.
        """
        ...

    def consolidate(self, learned: Snapshot, fisher: Fisher) -> Self:
        """The method after an update that ended at `learned`, with the Fisher taken there."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Everything it remembers."""
        ...

    def load(self, tensors: Mapping[str, Tensor]) -> Self:
        """A copy that remembers `tensors`, made by `state_dict`."""
        ...


def penalty(regularizer: Regularizer, now: Snapshot, start: Snapshot) -> Tensor:
    """Σ ½λF(θ−θ*)² over all parameters at `now`, a scalar, differentiable."""
    total = torch.zeros(())
    for name, quadratic in regularizer.pulls(start).items():
        total = total + quadratic.penalty(now[name]).to(total.device)
    return total
