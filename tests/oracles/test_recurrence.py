"""The written-out recurrence against torch's own GRU and its automatic derivative, in float64."""

from __future__ import annotations

import pytest
import torch

from models.nets.recurrence import States, gate_gradients, run

SHAPES = [(1, 1, 1), (1, 3, 2), (7, 1, 5), (5, 4, 3), (50, 2, 8)]
"""Steps, sequences, width."""


@pytest.mark.parametrize("shape", SHAPES)
def test_states_and_gradients_are_those_of_torch(shape: tuple[int, int, int]) -> None:
    steps, batch, width = shape
    random = torch.Generator().manual_seed(7)

    def drawn(*size: int) -> torch.Tensor:
        return torch.randn(*size, dtype=torch.float64, generator=random).requires_grad_()

    x, to_states = drawn(steps, batch, width), drawn(steps, batch, width).detach()
    weights = [drawn(3 * width, width), drawn(3 * width, width), drawn(3 * width), drawn(3 * width)]
    start = torch.zeros(1, batch, width, dtype=torch.float64)
    expected, _ = torch.gru(x, start, weights, True, 1, 0.0, False, False, False)
    inputs, state, input_bias, state_bias = weights
    found = States.apply(x @ inputs.T + input_bias, state, state_bias)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        torch.autograd.grad(found, [x, *weights], to_states),
        torch.autograd.grad(expected, [x, *weights], to_states),
        rtol=1e-9,
        atol=1e-10,
    )


def test_what_arrives_at_the_gates_differs_in_the_new_state_alone() -> None:
    """There r stands between: ∂/∂(U_n h) = r · ∂/∂(W_n x)."""
    width = 3
    random = torch.Generator().manual_seed(1)
    from_input = torch.randn(4, 2, 3 * width, generator=random)
    trace = run(from_input, torch.randn(3 * width, width, generator=random), torch.zeros(3 * width))
    to_input, to_state = gate_gradients(trace, torch.ones(4, 2, width))
    reset = trace.gates[..., :width]
    torch.testing.assert_close(to_input[..., : 2 * width], to_state[..., : 2 * width])
    torch.testing.assert_close(to_input[..., 2 * width :] * reset, to_state[..., 2 * width :])
    assert float(to_input[1:].abs().min()) > 0.0
