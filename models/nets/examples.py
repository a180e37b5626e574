"""Per-example gradients of any encoder, from its `queries` alone.

An encoder that can say its gradients in closed form is faster; this is the way of all others, and
what the closed forms are tested against. Legend: B examples, S sequence, D embedding, P dense
weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.nets.encoder import Backward, Dense, Encoder, ExampleGradients, Inputs

_AT_ONCE = 32
"""Examples whose gradients are taken together; more are no faster on a CPU …"""
_NUMBERS_AT_ONCE = 1 << 22
"""… and fewer where the gradients of so many would hold more numbers than this (16 MiB)."""

Alone = tuple[Tensor, Tensor, Tensor, Tensor]
"""Examples: the vectors each read [B, S, D], its user's [B, 1, D], the places of the former
[B, S] (−1 where none) and of the latter [B] (0 or −1)."""
Weights = tuple[Tensor, ...]
Gradients = tuple[Tensor, Tensor, Weights]
"""∂/∂ inputs [(B,) S, D], ∂/∂ user [(B,) 1, D], ∂/∂ each dense weight [(B,) …]."""


def examples_by_autograd(
    encoder: Encoder, given: Inputs, last: Tensor, dense: Dense, *, mapped: bool = True
) -> tuple[Tensor, Backward]:
    """`Encoder.examples` by automatic differentiation.

    Each example is given vectors of its own, so that the gradients with respect to what it read
    stay apart, and the dense weights, whose gradients are squared before they are summed.

    Args:
        encoder: only `queries` and `layout` are used.
        given: as in `Encoder.examples`.
        last: as in `Encoder.examples`.
        dense: as in `Encoder.examples`.
        mapped: take many examples at once by `torch.func.vmap`. For that, `queries` may not
            branch on values, write in place into what it did not make, or use an
            `autograd.Function` without a rule for it; false takes one example after another,
            which any encoder allows, in about three times the time.

    Returns:
        As in `Encoder.examples`.
    """
    names = [name for name, _ in encoder.layout(given.items.shape[1]).shapes]
    asked = _Asked(encoder, names, tuple(dense[name].detach() for name in names))
    with torch.no_grad():
        queries = encoder.queries(given, dense, None)
    at = torch.arange(len(last), device=last.device)

    def backward(gradient: Tensor) -> ExampleGradients:
        return asked.gradients(_apart(given), last, gradient, mapped)

    return queries[at, last], backward


@dataclass(frozen=True, slots=True)
class _Asked:
    """An encoder at certain weights."""

    encoder: Encoder
    names: list[str]
    weights: tuple[Tensor, ...]

    def gradients(
        self, alone: Alone, last: Tensor, gradient: Tensor, mapped: bool
    ) -> ExampleGradients:
        """Those of all examples, as many at a time as may be."""
        sums = [torch.zeros_like(part) for part in self.weights]
        to_inputs, to_users = torch.zeros_like(alone[0]), torch.zeros_like(alone[1])
        take = torch.func.vmap(self._one) if mapped else self._single
        size = _at_once(self.weights) if mapped else 1
        for first in range(0, len(last), size):
            part = slice(first, first + size)
            found = take(*(argument[part] for argument in (*alone, last, gradient)))
            to_inputs[part], to_users[part] = found[0], found[1]
            for total, each in zip(sums, found[2], strict=True):
                total += each.square().sum(0)
        squares = torch.cat([total.reshape(-1) for total in sums])
        return ExampleGradients(squares, to_inputs, to_users[:, 0])

    def _loss(self, inputs: Tensor, user: Tensor, weights: Weights, *rest: Tensor) -> Tensor:
        """query · gradient of one example: a scalar whose derivatives are those asked for."""
        place, user_place, last, gradient = rest
        given = Inputs(inputs, user, place[None], user_place[None])
        dense = dict(zip(self.names, weights, strict=True))
        queries = self.encoder.queries(given, dense, None)[0]
        return queries.index_select(0, last[None])[0] @ gradient

    def _one(self, inputs: Tensor, user: Tensor, *rest: Tensor) -> Gradients:
        """Of one example by a transformation that `vmap` goes through."""
        with torch.enable_grad():
            found: Gradients = torch.func.grad(
                lambda *leaves: self._loss(*leaves, *rest), argnums=(0, 1, 2)
            )(inputs, user, self.weights)
        return found

    def _single(self, *arguments: Tensor) -> Gradients:
        """The same of one example [1, …] by one backward pass."""
        inputs, user, *rest = (argument[0] for argument in arguments)
        leaves = [part.detach().requires_grad_() for part in (inputs, user, *self.weights)]
        with torch.enable_grad():
            loss = self._loss(leaves[0], leaves[1], tuple(leaves[2:]), *rest)
            found = torch.autograd.grad(loss, leaves, materialize_grads=True)
        return found[0][None], found[1][None], tuple(part[None] for part in found[2:])


def _apart(given: Inputs) -> Alone:
    """What each example reads, for itself."""
    nothing = given.items.new_zeros(1, given.items.shape[1])
    steps = torch.arange(given.inputs.shape[1], device=given.inputs.device)
    return (
        torch.cat([given.items, nothing])[given.inputs],
        torch.cat([given.users, nothing])[given.user_idx][:, None],
        torch.where(given.inputs < 0, -1, steps),
        given.user_idx.clamp(max=0),
    )


def _at_once(weights: Weights) -> int:
    size = sum(part.numel() for part in weights)
    return max(1, min(_AT_ONCE, _NUMBERS_AT_ONCE // size))
