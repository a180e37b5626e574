"""An encoder with blocks on it: an encoder as any other."""

from __future__ import annotations

import torch
from torch import Tensor

from models.nets.blocks import Blocks
from models.nets.encoder import (
    Backward,
    Dense,
    Dropout,
    Encoder,
    ExampleGradients,
    Inputs,
    scaled_inputs,
)
from models.parameters import Layout


class GrownEncoder:
    """`base`, and `blocks` on what it makes. Legend: see `models.nets.encoder`."""

    def __init__(self, base: Encoder, blocks: Blocks) -> None:
        self.base = base
        self.blocks = blocks
        self.name = base.name
        self.has_users = base.has_users
        self.settings = base.settings

    def layout(self, dim: int) -> Layout:
        blocks = self.blocks.layout(dim)
        return Layout((*self.base.layout(dim).shapes, *blocks.shapes), blocks.numbers)

    def depths(self, dim: int) -> Tensor:
        """Blocks stand on top of the base's last layer."""
        base = self.base.depths(dim)
        return torch.cat([base, base.max() + base.new_ones(self.blocks.layout(dim).size)])

    def initial(self, dim: int, seed: int) -> Tensor:
        return torch.cat([self.base.initial(dim, seed), self.blocks.initial(dim, seed)])

    def queries(self, given: Inputs, dense: Dense, dropout: Dropout | None) -> Tensor:
        hidden = self.base.queries(given, dense, dropout)
        return self.blocks(scaled_inputs(given, hidden.new_zeros(hidden.shape[2])), hidden, dense)

    def examples(self, given: Inputs, last: Tensor, dense: Dense) -> tuple[Tensor, Backward]:
        """The base's own gradients, and those of the blocks in closed form.

        Of one example, W has the gradient g ⊗ z, with z what the block read and g that of W z + b,
        and O has a ⊗ q, with q that of the query; squared, they are products of squares.
        """
        hidden, backward = self.base.examples(given, last, dense)
        at, dim = torch.arange(len(last), device=last.device), hidden.shape[1]
        latest = scaled_inputs(given, hidden.new_zeros(dim))[at, last]
        with torch.enable_grad():
            leaves = [hidden.detach().requires_grad_(), latest.detach().requires_grad_()]
            queries, trace = self.blocks.traced(leaves[1], leaves[0], dense)

        def grown(gradient: Tensor) -> ExampleGradients:
            raised = [each for _, each in trace]
            with torch.enable_grad():
                pushed = (queries * gradient).sum()
            to_hidden, to_latest, *to_raised = torch.autograd.grad(pushed, [*leaves, *raised])
            squares, toward = [], gradient.square()
            for (read, each), to_each in zip(trace, to_raised, strict=True):
                pushed = to_each.square()
                squares += [
                    (pushed.T @ read.detach().square()).reshape(-1),
                    pushed.sum(0),
                    (each.detach().relu().square().T @ toward).reshape(-1),
                ]
            found = backward(to_hidden)
            inputs = found.inputs.clone()
            known = (given.inputs[at, last] >= 0)[:, None]
            inputs[at, last] += torch.where(known, to_latest * dim**0.5, 0.0)
            return ExampleGradients(torch.cat([found.dense, *squares]), inputs, found.users)

        return queries.detach(), grown
