"""The steps: row-wise and lazy for tables, Adam for the dense weights, pulls applied implicitly.

With pull ½λF(θ−θ*)² one step is, in this order,

    θ ← θ − η g                      the data, explicitly, η from the gradients' own scale
    d ← d / (1 + ηλF),  d = θ − θ*   the penalty, implicitly, with the same η

which to first order in η is a step on the sum of both losses, shares its fixed points
(g + λF(θ−θ*) = 0), and is stable for every λ. Kirkpatrick 2017 and Schwarz 2018 put the penalty
into the loss instead, where an adaptive optimizer rescales it with the data's gradient and a large
λ diverges; the deviation is of order η².
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.adam import AdamState
from models.continual.quadratic import Quadratic, missed_pulls
from models.continual.sparsity import GroupLasso
from models.parameters import grown

_EPS = 1e-8
_ROW_BETA = 0.999


@dataclass(frozen=True, slots=True)
class RowState:
    """What a table's optimizer remembers: mean squared gradients and gradients met, [N] each."""

    mean_square: Tensor
    count: Tensor

    @classmethod
    def empty(cls) -> RowState:
        return cls(torch.zeros(0), torch.zeros(0))

    def grown(self, size: int, device: str | torch.device = "cpu") -> RowState:
        """A copy for a table of `size` rows on `device`."""
        return RowState(
            grown(self.mean_square.to(device), size), grown(self.count.to(device), size)
        )

    def state_dict(self) -> dict[str, Tensor]:
        return {"mean_square": self.mean_square, "count": self.count}

    @classmethod
    def load(cls, tensors: Mapping[str, Tensor]) -> RowState:
        return cls(tensors["mean_square"], tensors["count"])


class TableOptimizer:
    """Steps on the rows that a batch touches, as if the whole table had been stepped on.

    The rate of a row is learning_rate / √(mean squared gradient of the row), a running mean over
    its first 1,000 gradients and an exponential one afterwards (so that a row stays plastic, which
    Adagrad's sum does not allow). A row that no gradient has reached has no rate, and while a row
    is untouched its rate stands still. So the pulls it missed have the closed form of
    `missed_pulls`, applied when it is next gathered and at the end: the result equals, up to
    rounding, pulling the whole table at every step.

    Source: row-wise scaling after Gupta et al., 2014 (Duchi et al., 2011, by rows), the running
    mean after Adam (Kingma and Ba, 2015, arXiv 1412.6980) without its momentum.
    """

    def __init__(
        self,
        rows: Tensor,
        state: RowState,
        learning_rate: float,
        pull: Quadratic | None = None,
        *,
        anchored_at_start: bool = True,
    ) -> None:
        """Take over `rows` [N, D] and `state`, which are written to.

        Args:
            rows: the table.
            state: as long as the table.
            learning_rate: the step of a row with unit gradients.
            pull: the penalty on this table.
            anchored_at_start: `rows` is at the anchor now, so that rows nobody touches need no
                pull at the end.
        """
        self._rows = rows
        self._state = state
        self._full_rate = learning_rate
        self._learning_rate = torch.tensor(learning_rate, dtype=torch.float64)
        self._pull = pull
        self._anchored_at_start = anchored_at_start
        self._step = torch.zeros(())
        self._pulled = torch.zeros(len(rows), device=rows.device) if pull is not None else None
        self._important: Tensor | None = None
        self._gathered: Quadratic | None = None

    def working(self) -> list[Tensor]:
        """All that steps write to."""
        pulled = [] if self._pulled is None else [self._pulled]
        state = [self._state.mean_square, self._state.count]
        return [self._rows, *state, self._step, self._learning_rate, *pulled]

    def gather(self, rows: Tensor) -> Tensor:
        """The rows [R] (each once) as they stand after all pulls so far, a new tensor [R, D]."""
        values = self._rows.index_select(0, rows)
        if self._pull is None or self._pulled is None:
            return values
        self._gathered = pull = self._pull.rows(rows)
        missed = self._step - self._pulled.index_select(0, rows)
        if bool((missed > 0).any()):
            stiffness = pull.importance * self._rates(rows)[:, None].mul_(pull.strength)
            values += missed_pulls(values - pull.anchor, stiffness, missed[:, None])
        return values

    def step(self, rows: Tensor, values: Tensor, gradient: Tensor) -> None:
        """One step.

        Args:
            rows: [R] as given to the latest `gather`.
            values: [R, D] as it answered; written to.
            gradient: [R, D] of the data's loss.
        """
        self._step += 1.0
        count = self._state.count.index_select(0, rows) + 1.0
        mean_square = self._state.mean_square.index_select(0, rows)
        fresh = gradient.square().mean(1)
        mean_square += (fresh - mean_square) * (1.0 / count).clamp_(min=1.0 - _ROW_BETA)
        self._state.count[rows] = count
        self._state.mean_square[rows] = mean_square
        rates = (self._learning_rate / (mean_square.sqrt() + _EPS))[:, None]
        values.addcmul_(gradient, rates, value=-1.0)
        if self._gathered is not None and self._pulled is not None:
            pull, self._gathered = self._gathered, None
            stiffness = pull.importance * (rates * pull.strength)
            values -= (values - pull.anchor) * (stiffness / (1.0 + stiffness))
            self._pulled[rows] = float(self._step)
        self._rows[rows] = values

    def slow_to(self, share: float) -> None:
        """Go on with `share` of the rate; what rows have missed so far is applied at the old one.

        That keeps the result equal to pulling the whole table at every step, for the price of a
        look at every row, and, where rows that nobody touches are pulled as well (they do not
        start at the anchor: `ewc`, or any method beside a weight decay), of moving each row that
        has a rate and any importance: change the rate between passes, not between steps. Where it
        stays as it is nothing is done.
        """
        rate = share * self._full_rate
        if float(self._learning_rate) == rate:
            return
        self.finish()
        self._learning_rate.fill_(rate)

    def finish(self) -> None:
        """Apply the pulls that rows still miss. To be called after the last step."""
        if self._pull is None or self._pulled is None or self._step == 0:
            return
        behind = self._pulled < self._step
        behind &= self._pulled > 0 if self._anchored_at_start else self._drawn(self._pull)
        rows = behind.nonzero()[:, 0]
        if len(rows):
            self._rows[rows] = self.gather(rows)
            self._pulled[rows] = float(self._step)

    def _drawn(self, pull: Quadratic) -> Tensor:
        """Rows [N] bool that the pull moves by itself: they have importance and a rate."""
        if self._important is None:
            self._important = (pull.importance > 0).any(1)
        return self._important & (self._state.count > 0)

    def _rates(self, rows: Tensor) -> Tensor:
        count = self._state.count.index_select(0, rows)
        mean_square = self._state.mean_square.index_select(0, rows)
        return torch.where(count > 0, self._learning_rate / (mean_square.sqrt() + _EPS), 0.0)


class DenseOptimizer:
    """Adam on one flat tensor, the pull implicitly with Adam's own rate for each element.

    A group-sparse penalty, which knows no element's rate, takes the learning rate itself.

    Source: Kingma and Ba, 2015 (arXiv 1412.6980), algorithm 1.
    """

    def __init__(
        self,
        values: Tensor,
        state: AdamState,
        learning_rate: float,
        pull: Quadratic | None = None,
        sparse: Sequence[GroupLasso] = (),
        held: Tensor | None = None,
    ) -> None:
        """Take over `values` [P] and `state`, which are written to.

        Args:
            values: the weights.
            state: as long as they.
            learning_rate: the step of a weight with unit gradients.
            pull: the penalty on them.
            sparse: group-sparse penalties, each applied after the pull.
            held: [P] bool, where weights and what is remembered of them stay as they are, the count
                of their steps as well: `state` has to keep one for each (`AdamState.apart`).

        Raises:
            ValueError: some weights are held and the state has one count for all.
        """
        if held is not None and len(state.steps) != len(values):
            raise ValueError("held: weights that stand still need a count of steps of their own")
        self.values = values
        self._state = state
        self._full_rate = self._learning_rate = learning_rate
        self._pull = pull
        self._sparse = sparse
        self._held = [] if held is None else self._kept(held.nonzero()[:, 0])

    def _kept(self, held: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """What is put back after each step: a tensor, places in it, and what stands there."""
        parts = [self.values, *self._state.state_dict().values()]
        return [(part, held, part[held]) for part in parts]

    def working(self) -> list[Tensor]:
        """All that steps write to."""
        return [self.values, *self._state.state_dict().values()]

    def slow_to(self, share: float) -> None:
        """Go on with `share` of the rate."""
        self._learning_rate = share * self._full_rate

    def step(self, gradient: Tensor) -> None:
        """One step along `gradient` [P]."""
        self._step(gradient)
        for part, held, values in self._held:
            part[held] = values

    def _step(self, gradient: Tensor) -> None:
        root = self._state.step(self.values, gradient, self._learning_rate)
        if self._pull is not None:
            pull = self._pull
            stiffness = pull.importance / root * (self._learning_rate * pull.strength)
            self.values -= (self.values - pull.anchor) * (stiffness / (1.0 + stiffness))
        for penalty in self._sparse:
            penalty.step(self.values, self._learning_rate)
