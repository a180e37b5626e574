"""What a method against forgetting is: a value with hooks into an update.

An update calls the hooks in the order in which `Method` lists them, whatever methods there are; a
hook that a method does not define does nothing. A method holds no trainer, optimizer or clock,
methods know nothing of each other, and a list of them may stand in any order. Before anything is
consolidated, or with a strength of 0, a method changes nothing, to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor

from models.continual.fisher import Fisher
from models.continual.moments import Move, Rehearsal, Start, Step
from models.continual.quadratic import Quadratic
from models.continual.sparsity import GroupLasso
from models.parameters import Snapshot
from models.registry import ENCODERS, METHODS, found

if TYPE_CHECKING:
    from models.config import LearningConfig
    from models.continual.state import LearningState
    from models.interactions import Sample
    from models.nets import Recommender


EVERY = frozenset(ENCODERS)
"""For a method that works with whatever encoder there is."""


@dataclass(frozen=True, slots=True)
class NoParameters:
    """Of a method that has none."""


class Method:
    """The base of all methods; every hook here does nothing.

    Attributes:
        name: what settings call it.
        encoders: those it works with, by name; contract tests run each pair. What is not `EVERY`
            is a line in `models.registry.LIMITED`, by which settings are checked.
        needs_fisher: whether `consolidate` reads the Fisher.
        moves_anchor: whether a pull's anchor is always the update's start, so that rows nobody
            touches feel none.
        watches_moves: whether `moved` is to be called.
        parameter_type: a frozen dataclass of what settings may say, checked when it is made.
    """

    name: ClassVar[str]
    encoders: ClassVar[frozenset[str]] = frozenset()
    needs_fisher: ClassVar[bool] = False
    moves_anchor: ClassVar[bool] = True
    watches_moves: ClassVar[bool] = False
    parameter_type: ClassVar[type[Any]] = NoParameters

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Any:
        """The parameters as settings say them.

        Raises:
            ValueError: a name it does not have, or a value out of its range.
        """
        allowed = [field.name for field in fields(cls.parameter_type)]
        if unknown := [name for name in given if name not in allowed]:
            has = f"has {', '.join(allowed)}" if allowed else "has none"
            raise ValueError(f"parameters: {cls.name} {has}; not known: {', '.join(unknown)}")
        try:
            return cls.parameter_type(**given)
        except (TypeError, ValueError) as error:
            raise ValueError(f"parameters: {cls.name}: {error}") from None

    @classmethod
    def chosen(cls, config: LearningConfig) -> Any:
        """The parameters under `config`."""
        return cls.read(config.parameters.get(cls.name, {}))

    @classmethod
    def idle(cls, config: LearningConfig) -> str | None:
        """Why this method would do nothing under `config`, if it would: a part of a sentence."""
        return None

    @classmethod
    def initial(cls, config: LearningConfig) -> Self:
        """Before anything is consolidated."""
        return cls()

    def rehearse(self, given: Rehearsal) -> Sequence[Sample]:
        """Samples to be learned again beside the new ones."""
        return ()

    def resized(self, net: Recommender, seed: int) -> Recommender:
        """The recommender that an update begins with: `net`, or one with other blocks or
        adapters.

        Called before weights are taken as the start, and not where nothing new is to be learned,
        for nothing is consolidated then. Whatever has the shape of the dense weights is
        realigned by what comes out, and a version says what it has of them, so that nothing but
        this hook needs to know.

        Args:
            net: the update's own copy; `Recommender.with_blocks` and `with_adapters` make another
                of it.
            seed: of the new weights.
        """
        return net

    def newcomers(self, table: str, rows: Tensor) -> Tensor:
        """The rows [n, D] that an update begins with for items or users it has not met.

        Args:
            table: `items` or `users`.
            rows: as they would be.
        """
        return rows

    def begun(self, start: Start) -> Self:
        """A copy for an update from `start`: grown, on its device, free to be written to."""
        return self

    def frozen(self) -> frozenset[str]:
        """Tables that this update must not move: `items`, `users`."""
        return frozenset()

    def held(self, net: Recommender) -> Tensor | None:
        """The dense weights of `net` that this update must not move, [P] bool; None: all may.

        Whatever would move them, gradient, momentum or pull, does not, to the bit.
        """
        return None

    def pulls(self, start: Snapshot) -> Mapping[str, Quadratic]:
        """A quadratic penalty by parameter name, of the shapes of `start`; asked once, when begun.

        Args:
            start: the parameters that the update starts from.
        """
        return {}

    def sparse(self, net: Recommender) -> GroupLasso | None:
        """A group-sparse penalty on the dense weights of `net`; asked once, when begun."""
        return None

    def loss(self, step: Step) -> Tensor | None:
        """A term of the loss, a scalar; None adds nothing. Asked once in each step."""
        return None

    def moved(self, name: str, move: Move) -> None:
        """Told of each step's effect where `watches_moves`."""

    def working(self) -> Sequence[Tensor]:
        """What it writes to in the steps of an update and reads at its end, the same tensors each
        time: an update that goes back to an earlier pass puts them back as they were then.
        """
        return ()

    def heard(self, loss: float) -> Self:
        """The method after an update whose first pass had this mean loss, before `consolidate`."""
        return self

    def consolidate(self, learned: Snapshot, fisher: Fisher) -> Self:
        """The method after an update that ended at `learned`, with the Fisher taken there."""
        return self

    def admits(self, trained: Sequence[Sample], learned: LearningState) -> Sequence[Sample]:
        """The new samples of an update as the replay buffer shall be offered them.

        Args:
            trained: as they were trained on, or as the method before left them.
            learned: the state after the update.
        """
        return trained

    def state_dict(self) -> dict[str, Tensor]:
        """Everything it remembers from one update to the next."""
        return {}

    def load(self, tensors: Mapping[str, Tensor]) -> Self:
        """A copy that remembers `tensors`, made by `state_dict`."""
        return self


def rehearsing(config: LearningConfig) -> bool:
    """Whether any method of `config` learns old samples again."""
    kinds = (found("methods", name, METHODS) for name in config.methods)
    return any(kind.rehearse is not Method.rehearse for kind in kinds)


def checked(name: str, value: Any, low: float, high: float = float("inf")) -> None:
    """For a `Parameters` to check a number with.

    Raises:
        ValueError: it is no finite number within [low, high].
    """
    infinite = float("inf")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high or value == infinite:
        bounds = f"to {high:g}" if high < infinite else "on, and finite"
        raise ValueError(f"{name}: must be a number from {low:g} {bounds}, got {value!r}")


def counted(name: str, value: Any, low: int, high: int | None = None) -> None:
    """For a `Parameters` to check a whole number with.

    Raises:
        ValueError: it is no whole number from `low` on, or to `high`.
    """
    is_count = isinstance(value, int) and not isinstance(value, bool)
    if not is_count or value < low or (high is not None and value > high):
        bounds = "on" if high is None else f"to {high}"
        raise ValueError(f"{name}: must be a whole number from {low} {bounds}, got {value!r}")


def penalty(method: Method, now: Snapshot, start: Snapshot) -> Tensor:
    """Σ ½λF(θ−θ*)² over all parameters at `now`, a scalar, differentiable."""
    total = torch.zeros(())
    for name, quadratic in method.pulls(start).items():
        total = total + quadratic.penalty(now[name]).to(total.device)
    return total
