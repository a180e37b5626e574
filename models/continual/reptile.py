"""A meta-learned first row: new items and users start where new ones have ended so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import torch.nn.functional as F
from torch import Tensor

from models.config import LearningConfig
from models.continual.fisher import Fisher
from models.continual.method import EVERY, Method, checked
from models.continual.moments import Start
from models.parameters import Snapshot


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of Reptile."""

    rate: float = 0.3
    """ε, the step of the first row towards what new rows became."""
    noise: float = 0.3
    """How much of a row's own random start stays, so that new rows differ."""

    def __post_init__(self) -> None:
        checked("rate", self.rate, 0.0, 1.0)
        checked("noise", self.noise, 0.0)


class Reptile(Method):
    """φ ← φ + ε (mean of the rows that were new in an update, as it left them − φ), per table.

    Of new items those count that the update trained on: a row that held-out users alone have met
    was pushed away as a negative at most, and is no example of what a few events make of one.

    A new row is one task, its few events the task's data, the update's own steps the inner loop. A
    row that is new, or was set aside until now, starts in the direction of φ, as long as rows are
    that know nothing, plus some of its noise. Before any update φ is 0 and rows start as they would
    without the method.

    Source: Nichol et al., 2018 (arXiv 1803.02999), algorithm 1 with a batch of tasks. Deviation:
    only the direction of rows is meta-learned (new rows are short, so that they turn fast); the
    encoder is shared and learns as ever.
    """

    name = "reptile"
    encoders = EVERY
    parameter_type: ClassVar = Parameters

    def __init__(self, parameters: Parameters, first: Mapping[str, Tensor]) -> None:
        self.parameters = parameters
        self.first = dict(first)
        self._new: dict[str, Tensor] = {}

    @classmethod
    def initial(cls, config: LearningConfig) -> Self:
        return cls(cls.chosen(config), {})

    def newcomers(self, table: str, rows: Tensor) -> Tensor:
        if self.parameters.rate == 0.0 or table not in self.first or not len(rows):
            return rows
        toward = F.normalize(self.first[table].to(rows), dim=0)
        begun: Tensor = toward * rows.norm(dim=1, keepdim=True) + self.parameters.noise * rows
        return begun

    def begun(self, start: Start) -> Self:
        twin = type(self)(self.parameters, self.first)
        twin._new = {table: start.newcomers(table) for table in start.known}
        if "items" in twin._new:
            new = twin._new["items"]
            twin._new["items"] = new[start.lesson.names(new)]
        return twin

    def consolidate(self, learned: Snapshot, fisher: Fisher) -> Self:
        first = dict(self.first)
        for table, new in self._new.items():
            rows = learned[table][new]
            rows = rows[rows.any(1)]  # those of users set aside are empty
            if len(rows):
                mean, old = rows.mean(0), first.get(table)
                rate = self.parameters.rate
                first[table] = mean if old is None else old.to(mean).lerp(mean, rate)
        return type(self)(self.parameters, first)

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self.first)

    def load(self, tensors: Mapping[str, Tensor]) -> Self:
        return type(self)(self.parameters, tensors)
