"""A gated recurrent unit over the history: the query is its state after the last item."""

from __future__ import annotations

import torch
from torch import Tensor

from models.nets.encoder import (
    Backward,
    Dense,
    Dropout,
    ExampleGradients,
    Inputs,
    scaled_inputs,
)
from models.parameters import Layout, initial_rows


class GruEncoder:
    """One layer, as wide as the item rows.

    r = σ(W_r x + U_r h), z = σ(W_z x + U_z h), n = tanh(W_n x + r ∘ U_n h), h' = (1−z) ∘ n + z ∘ h,
    each with its biases.

    Source: Cho et al., 2014 (arXiv 1406.1078), in PyTorch's form (r is applied after U_n); as a
    recommender Hidasi et al., 2016 (arXiv 1511.06939). Deviation: input and output share the item
    rows, and every position of a sequence is a target.
    """

    name = "gru"
    has_users = False

    def layout(self, dim: int) -> Layout:
        return Layout(
            (
                ("input_weight", (3 * dim, dim)),
                ("state_weight", (3 * dim, dim)),
                ("input_bias", (3 * dim,)),
                ("state_bias", (3 * dim,)),
                ("start", (dim,)),
            )
        )

    def initial(self, dim: int, seed: int) -> Tensor:
        noise = initial_rows(seed, 0, 6 * dim + 1, dim)
        return self.layout(dim).flat(
            [
                noise[: 3 * dim],
                noise[3 * dim : 6 * dim] * 3.0**-0.5,
                torch.zeros(6 * dim),
                noise[6 * dim] * dim**0.5,
            ]
        )

    def queries(self, given: Inputs, dense: Dense, dropout: Dropout | None) -> Tensor:
        x = scaled_inputs(given, dense["start"])
        if dropout is not None:
            x = dropout(x)
        weights = [
            dense[name] for name in ("input_weight", "state_weight", "input_bias", "state_bias")
        ]
        state = x.new_zeros(1, x.shape[0], x.shape[2])
        states, _ = torch.gru(x, state, weights, True, 1, 0.0, False, False, True)
        return states if dropout is None else dropout(states)

    def examples(self, given: Inputs, last: Tensor, dense: Dense) -> tuple[Tensor, Backward]:
        """The cell written out, so that the gradient at every gate is known for each example.

        The gradient of a weight matrix is then the sum over steps of (gate gradient ⊗ input), one
        product per example, squared only afterwards.
        """
        with torch.enable_grad():
            x = scaled_inputs(given, dense["start"]).detach().requires_grad_()
            return self._unrolled(given, x, last, dense)

    def _unrolled(
        self, given: Inputs, x: Tensor, last: Tensor, dense: Dense
    ) -> tuple[Tensor, Backward]:
        frozen = {name: part.detach() for name, part in dense.items()}
        from_input = x @ frozen["input_weight"].T + frozen["input_bias"]
        state = x.new_zeros(x.shape[0], x.shape[2], requires_grad=True)
        states, before, from_state = [], [], []
        for gates_in in from_input.unbind(1):
            before.append(state.detach())
            gates = torch.addmm(frozen["state_bias"], state, frozen["state_weight"].T)
            from_state.append(gates)
            state = gru_cell(gates_in, gates, state)
            states.append(state)
        query = torch.stack(states, dim=1)[torch.arange(len(last), device=x.device), last]

        def backward(gradient: Tensor) -> ExampleGradients:
            to_x, to_input, *to_state = torch.autograd.grad(
                query, [x, from_input, *from_state], gradient
            )
            state_gates = torch.stack(to_state, dim=1)
            starts = (given.inputs < 0)[..., None]
            squares = self.layout(x.shape[2]).flat(
                [
                    _product_squares(to_input, x.detach()),
                    _product_squares(state_gates, torch.stack(before, dim=1)),
                    to_input.sum(1).square().sum(0),
                    state_gates.sum(1).square().sum(0),
                    torch.where(starts, to_x, 0.0).sum(1).square().sum(0),
                ]
            )
            to_rows = torch.where(starts, 0.0, to_x) * x.shape[2] ** 0.5
            return ExampleGradients(squares, to_rows, to_x.new_zeros(x.shape[0], x.shape[2]))

        return query.detach(), backward


def gru_cell(from_input: Tensor, from_state: Tensor, state: Tensor) -> Tensor:
    """One step: gate inputs [B, 3D] from input and state in the order r, z, n; state [B, D]."""
    input_r, input_z, input_n = from_input.chunk(3, dim=1)
    state_r, state_z, state_n = from_state.chunk(3, dim=1)
    reset, keep = torch.sigmoid(input_r + state_r), torch.sigmoid(input_z + state_z)
    new = torch.tanh(input_n + reset * state_n)
    return new + keep * (state - new)


def _product_squares(left: Tensor, right: Tensor) -> Tensor:
    """Σ_b (Σ_s left[b, s] ⊗ right[b, s])², [G, D] from [B, S, G] and [B, S, D]."""
    return torch.bmm(left.transpose(1, 2), right).square_().sum(0)
