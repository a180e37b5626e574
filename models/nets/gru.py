"""A gated recurrent unit over the history: the query is its state after the last item."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from models.nets.encoder import (
    NO_SETTINGS,
    Backward,
    Dense,
    Dropout,
    ExampleGradients,
    Inputs,
    scaled_inputs,
)
from models.nets.recurrence import States, gate_gradients, run
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
    settings = NO_SETTINGS

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

    def depths(self, dim: int) -> Tensor:
        return torch.zeros(self.layout(dim).size, dtype=torch.int64)

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
        if torch.is_grad_enabled() and not x.is_cuda:
            from_input = F.linear(x.transpose(0, 1), dense["input_weight"], dense["input_bias"])
            states = States.apply(  # type: ignore[no-untyped-call]
                from_input, dense["state_weight"], dense["state_bias"]
            )
            states = states.transpose(0, 1)
        else:
            states = _by_library(x, dense)
        return states if dropout is None else dropout(states)

    def examples(self, given: Inputs, last: Tensor, dense: Dense) -> tuple[Tensor, Backward]:
        """The gradient of a weight matrix is the sum over steps of (gate gradient ⊗ input): one
        product per example, squared only afterwards.
        """
        x = scaled_inputs(given, dense["start"])
        from_input = F.linear(x.transpose(0, 1), dense["input_weight"], dense["input_bias"])
        trace = run(from_input, dense["state_weight"], dense["state_bias"])
        at = torch.arange(len(last), device=x.device)

        def backward(gradient: Tensor) -> ExampleGradients:
            to_states = torch.zeros_like(trace.new)
            to_states[last, at] = gradient
            to_input, to_state = (part.transpose(0, 1) for part in gate_gradients(trace, to_states))
            to_x = to_input @ dense["input_weight"]
            starts = (given.inputs < 0)[..., None]
            squares = self.layout(x.shape[2]).flat(
                [
                    _product_squares(to_input, x),
                    _product_squares(to_state, trace.states[:-1].transpose(0, 1)),
                    to_input.sum(1).square().sum(0),
                    to_state.sum(1).square().sum(0),
                    torch.where(starts, to_x, 0.0).sum(1).square().sum(0),
                ]
            )
            to_rows = torch.where(starts, 0.0, to_x) * x.shape[2] ** 0.5
            return ExampleGradients(squares, to_rows, to_x.new_zeros(x.shape[0], x.shape[2]))

        return trace.states[last + 1, at], backward


def _by_library(x: Tensor, dense: Dense) -> Tensor:
    """States [B, S, D] by torch's own kernels: the fastest without gradients, and on a GPU."""
    weights = [dense[name] for name in ("input_weight", "state_weight", "input_bias", "state_bias")]
    state = x.new_zeros(1, x.shape[0], x.shape[2])
    return torch.gru(x, state, weights, True, 1, 0.0, False, False, True)[0]


def _product_squares(left: Tensor, right: Tensor) -> Tensor:
    """Σ_b (Σ_s left[b, s] ⊗ right[b, s])², [G, D] from [B, S, G] and [B, S, D]."""
    return torch.bmm(left.transpose(1, 2), right).square_().sum(0)
