"""The GRU's recurrence and its gradient, written out.

Automatic differentiation of a recurrence keeps a dozen small operations and two small products for
each step. Written out, all that does not depend on the step before is done for all steps at once:
the derivatives of the gates before the backward loop, the gradients of the weights after it. For
the short batches of an incremental update that is most of the time. The gradients at the gates are
also what a per-example Fisher needs.

Legend: S steps, B sequences, D width; gates lie in the order r, z, n.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@dataclass(frozen=True, slots=True)
class Trace:
    """What a run leaves for its gradient; time comes first.

    Attributes:
        states: h, [S+1, B, D]; the first are the zeros before the first step.
        gates: r and z, [S, B, 2D].
        new: n, [S, B, D].
        from_state: U_n h + its bias, [S, B, D], before r is applied.
        state_weight: U, [3D, D].
    """

    states: Tensor
    gates: Tensor
    new: Tensor
    from_state: Tensor
    state_weight: Tensor


def run(from_input: Tensor, state_weight: Tensor, state_bias: Tensor) -> Trace:
    """h' = (1−z) ∘ n + z ∘ h from the gates' inputs W x + b [S, B, 3D], steps first."""
    steps, batch, width = from_input.shape[0], from_input.shape[1], state_weight.shape[1]
    states = from_input.new_zeros(steps + 1, batch, width)
    gates = from_input.new_empty(steps, batch, 2 * width)
    new = from_input.new_empty(steps, batch, width)
    from_state = from_input.new_empty(steps, batch, 3 * width)
    turned, state = state_weight.T, states[0]
    gates_in, new_in = torch.split(from_input, [2 * width, width], dim=2)
    gates_said, new_said = torch.split(from_state, [2 * width, width], dim=2)
    views = (
        *(part.unbind() for part in (gates_in, new_in, from_state, gates_said, new_said)),
        *(part.unbind() for part in (gates, *torch.split(gates, width, dim=2), new, states[1:])),
    )
    for to_both, to_new, said, said_both, said_new, both, reset, keep, candidate, after in zip(
        *views, strict=True
    ):
        torch.addmm(state_bias, state, turned, out=said)
        torch.add(to_both, said_both, out=both).sigmoid_()
        torch.addcmul(to_new, reset, said_new, out=candidate).tanh_()
        state = torch.lerp(candidate, state, keep, out=after)
    return Trace(states, gates, new, new_said, state_weight)


def gate_gradients(trace: Trace, to_states: Tensor) -> tuple[Tensor, Tensor]:
    """From ∂ loss / ∂ h [S, B, D] to what arrives at the gates, before their nonlinearities.

    Returns:
        The gradients of W x + b and of U h + b, [S, B, 3D] each; they differ in n alone, where r
        stands between.
    """
    steps, batch, width = trace.new.shape
    reset, keep = trace.gates[..., :width], trace.gates[..., width:]
    per_new = (1.0 - keep) * (1.0 - trace.new.square())
    per_keep = (trace.states[:-1] - trace.new) * keep * (1.0 - keep)
    per_reset = trace.from_state * reset * (1.0 - reset)
    to_new = torch.empty_like(trace.new)
    to_state = trace.new.new_empty(steps, batch, 3 * width)
    carried = torch.zeros_like(trace.new[0])
    parts = (to_states, reset, keep, per_reset, per_keep, per_new)
    outs = (to_state, *torch.split(to_state, width, dim=2), to_new)
    views = zip(*(part.unbind() for part in (*parts, *outs)), strict=True)
    for arriving, r, z, on_r, on_z, on_n, out, out_r, out_z, out_n, candidate in reversed([*views]):
        carried = carried.add_(arriving)
        torch.mul(carried, on_n, out=candidate)
        torch.mul(candidate, on_r, out=out_r)
        torch.mul(carried, on_z, out=out_z)
        torch.mul(candidate, r, out=out_n)
        carried = torch.addmm(carried.mul_(z), out, trace.state_weight)
    return torch.cat([to_state[..., : 2 * width], to_new], dim=2), to_state


class States(torch.autograd.Function):
    """States [S, B, D] after each step, from W x + b [S, B, 3D], U and its bias."""

    @staticmethod
    def forward(ctx: Any, from_input: Tensor, state_weight: Tensor, state_bias: Tensor) -> Tensor:
        trace = run(from_input, state_weight, state_bias)
        ctx.save_for_backward(
            trace.states, trace.gates, trace.new, trace.from_state, trace.state_weight
        )
        return trace.states[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        trace = Trace(*ctx.saved_tensors)
        to_input, to_state = gate_gradients(trace, to_states)
        flat = to_state.flatten(0, 1)
        return to_input, flat.T @ trace.states[:-1].flatten(0, 1), flat.sum(0)
