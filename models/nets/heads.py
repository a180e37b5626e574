"""Heads: what an event of one type asks for beside what all of them do.

Legend: T targets, H heads, D embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.batches import NO_HEAD

WEIGHT = "head_weight"
"""The name of the heads' matrices [H, D, D] among the dense weights."""


@dataclass(frozen=True, slots=True)
class Heads:
    """A residual linear map of the encoder's output for each event type: h + W h.

    W begins at 0, so a head begins as the shared query. Types without a head, and everything where
    there is none at all, go on with h itself.

    Source: hard sharing, Caruana, 1997; Ruder, 2017 (arXiv 1706.05098), section 3. Deviation: a
    head is what its type adds to the shared query, not a network of its own.
    """

    types: tuple[str, ...] = ()
    """The event types that have one."""

    def shapes(self, dim: int) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Their part of a layout; nothing where there are no heads."""
        return ((WEIGHT, (len(self.types), dim, dim)),) if self.types else ()

    def initial(self, dim: int) -> Tensor:
        """Their weights [H·D·D] before anything is learned."""
        return torch.zeros(len(self.types) * dim * dim)

    def number(self, kind: str) -> int:
        """The head of an event type, `NO_HEAD` where it has none."""
        return self.types.index(kind) if kind in self.types else NO_HEAD

    def numbers(self, kinds: Sequence[str]) -> list[int] | None:
        """Those of many; None where there are no heads."""
        return [self.number(kind) for kind in kinds] if self.types else None

    def __call__(self, hidden: Tensor, heads: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Each of `hidden` […, D] through its head.

        Args:
            hidden: what the encoder made.
            heads: […] int64, numbers of heads, `NO_HEAD` for none.
            dense: the dense weights by name.
        """
        flat, numbers = hidden.reshape(-1, hidden.shape[-1]), heads.reshape(-1)
        result = flat
        for number, weight in enumerate(dense[WEIGHT]):
            at = (numbers == number).nonzero()[:, 0]
            if len(at):
                result = result.index_add(0, at, flat.index_select(0, at) @ weight.T)
        return result.view(hidden.shape)

    def squares(self, hidden: Tensor, heads: Tensor, gradient: Tensor) -> Tensor:
        """Σ_t (∂ loss_t / ∂ W)², laid end to end [H·D·D].

        The gradient of one example is g ⊗ h, and so its square g² ⊗ h².

        Args:
            hidden: [T, D], h.
            heads: [T] int64.
            gradient: [T, D], g, of each loss with respect to the head's output.
        """
        chosen = [heads == number for number in range(len(self.types))]
        parts = [gradient[at].square().T @ hidden[at].square() for at in chosen]
        return torch.stack(parts).reshape(-1)
