"""What an encoder is: the one part in which recommenders differ.

Legend: B batch, S sequence, R gathered item rows, Q gathered user rows, D embedding, P dense
weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import torch
from torch import Tensor

from models.parameters import Layout

Dense = Mapping[str, Tensor]
NO_SETTINGS: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a query is made from, in rows gathered for one step.

    `items` [R, D] and `users` [Q, D] are vectors (normalised where the model is); `inputs` [B, S]
    int64 are places in `items`, −1 for START, unknown items and filling; `user_idx` [B] int64 are
    places in `users`, −1 for unknown users; `domains` [R] int64 are those of the items, −1 for an
    item without one, and None where there are none at all.
    """

    items: Tensor
    users: Tensor
    inputs: Tensor
    user_idx: Tensor
    domains: Tensor | None = None


class Dropout:
    """Inverted dropout with a generator of its own; a rate of 0 changes nothing and draws nothing.

    Source: Srivastava et al., 2014.
    """

    def __init__(self, rate: float, generator: torch.Generator) -> None:
        self._keep = 1.0 - rate
        self._generator = generator

    def __call__(self, values: Tensor) -> Tensor:
        if self._keep >= 1.0:
            return values
        if self._keep <= 0.0:
            return torch.zeros_like(values)
        mask = torch.empty_like(values, requires_grad=False)
        mask.bernoulli_(self._keep, generator=self._generator)
        return values * mask.div_(self._keep)


@dataclass(frozen=True, slots=True)
class ExampleGradients:
    """Gradients of B examples, kept apart.

    `dense` [P] is the sum over examples of squared gradients of the dense weights (the temperature
    apart, which is no part of an encoder); `inputs` [B, S, D] and `users` [B, D] are the gradients
    with respect to the vectors that each example read (0 where it read none).
    """

    dense: Tensor
    inputs: Tensor
    users: Tensor


Backward = Callable[[Tensor], ExampleGradients]


class Encoder(Protocol):
    """Turns histories and users into queries. Stateless: the weights are handed in.

    `has_users` says whether it reads users' rows at all.
    """

    name: str
    has_users: bool

    @property
    def settings(self) -> Mapping[str, int]:
        """What it was built with, by the names of `LearningConfig`: part of a version's meta."""
        ...

    def layout(self, dim: int) -> Layout:
        """Names and shapes of the dense weights."""
        ...

    def depths(self, dim: int) -> Tensor:
        """The layer that each dense weight belongs to, [P] int64, counted from the inputs: 0 …"""
        ...

    def initial(self, dim: int, seed: int) -> Tensor:
        """Dense weights [P] before anything is learned; a function of the seed alone."""
        ...

    def queries(self, given: Inputs, dense: Dense, dropout: Dropout | None) -> Tensor:
        """Queries [B, S, D] after each input, before normalisation; differentiable."""
        ...

    def examples(self, given: Inputs, last: Tensor, dense: Dense) -> tuple[Tensor, Backward]:
        """The query of each example and its gradients per example.

        Args:
            given: as in `queries`.
            last: [B] int64, the input after which each example's one query is taken.
            dense: as in `queries`.

        Returns:
            Queries [B, D], and a function from gradients [B, D] of each example's loss with
            respect to its query to the gradients of what the query was made from. It may be
            called once. `examples_by_autograd` makes both from `queries`.
        """
        ...


def scaled_inputs(given: Inputs, start: Tensor) -> Tensor:
    """Input vectors [B, S, D] with entries of about 1: rows times √D, START's own vector as is."""
    table = torch.cat([start[None, :], given.items * given.items.shape[1] ** 0.5])
    flat = table.index_select(0, (given.inputs + 1).reshape(-1))
    return flat.view(*given.inputs.shape, -1)
