"""Per-example gradients of any encoder, from its `queries` alone.

An encoder that can say its gradients in closed form is faster; this is the way of all others, and
what the closed forms are tested against. Legend: B examples, S sequence, D embedding, P dense
weights.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from models.nets.encoder import Backward, Dense, Encoder, ExampleGradients, Inputs

_AT_ONCE = 32
"""Examples whose gradients are taken together; more are no faster on a CPU …"""
_NUMBERS_AT_ONCE = 1 << 22
"""… and fewer where the gradients of so many would hold more numbers than this (16 MiB)."""

Alone = tuple[Tensor, Tensor, Tensor, Tensor]
"""One example: the vectors it read [S, D], their places [S] (−1 where none), its user [1, D] and
the place of that [] (0 or −1)."""
Gradients = tuple[Tensor, Tensor, tuple[Tensor, ...]]
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
    alone = _apart(given)
    with torch.no_grad():
        queries = encoder.queries(given, dense, None)
    at = torch.arange(len(last), device=last.device)
    names = [name for name, _ in encoder.layout(given.items.shape[1]).shapes]
    weights = tuple(dense[name].detach() for name in names)

    def query(inputs: Tensor, user: Tensor, parts: tuple[Tensor, ...], *places: Tensor) -> Tensor:
        place, user_place, step = places
        one = Inputs(inputs, user, place[None], user_place[None])
        found = encoder.queries(one, dict(zip(names, parts, strict=True)), None)
        return found[0].index_select(0, step[None])[0]

    def one_gradient(inputs: Tensor, user: Tensor, *rest: Tensor) -> Gradients:
        *places, gradient = rest
        with torch.enable_grad():
            return torch.func.grad(  # type: ignore[no-any-return]
                lambda *leaves: query(*leaves, *places) @ gradient, argnums=(0, 1, 2)
            )(inputs, user, weights)

    def one_by_one(inputs: Tensor, user: Tensor, *rest: Tensor) -> Gradients:
        leaves = [part[0].detach().requires_grad_() for part in (inputs, user)]
        parts = [part.detach().requires_grad_() for part in weights]
        *places, gradient = (part[0] for part in rest)
        with torch.enable_grad():
            loss = query(leaves[0], leaves[1], tuple(parts), *places) @ gradient
            found = torch.autograd.grad(loss, [*leaves, *parts], materialize_grads=True)
        own = [part[None] for part in found]
        return own[0], own[1], tuple(own[2:])

    def backward(gradient: Tensor) -> ExampleGradients:
        sums = [torch.zeros_like(part) for part in weights]
        to_inputs, to_users = torch.zeros_like(alone[0]), torch.zeros_like(alone[2])
        take = torch.func.vmap(one_gradient) if mapped else one_by_one
        size = _at_once(weights) if mapped else 1
        inputs, place, users, user_place = alone
        for part in _slices(len(last), size):
            arguments = (inputs, users, place, user_place, last, gradient)
            to_inputs[part], to_users[part], to_weights = take(*(a[part] for a in arguments))
            for total, found in zip(sums, to_weights, strict=True):
                total += found.square().sum(0)
        flat = encoder.layout(given.items.shape[1]).flat(sums)
        return ExampleGradients(flat, to_inputs, to_users[:, 0])

    return queries[at, last], backward


def _apart(given: Inputs) -> Alone:
    """What each example reads, for itself: `Alone` with B in front of everything."""
    nothing = given.items.new_zeros(1, given.items.shape[1])
    steps = torch.arange(given.inputs.shape[1], device=given.inputs.device)
    return (
        torch.cat([given.items, nothing])[given.inputs],
        torch.where(given.inputs < 0, -1, steps),
        torch.cat([given.users, nothing])[given.user_idx][:, None],
        given.user_idx.clamp(max=0),
    )


def _at_once(weights: tuple[Tensor, ...]) -> int:
    size = sum(part.numel() for part in weights)
    return max(1, min(_AT_ONCE, _NUMBERS_AT_ONCE // size))


def _slices(total: int, size: int) -> Iterator[slice]:
    for first in range(0, total, size):
        yield slice(first, first + size)
