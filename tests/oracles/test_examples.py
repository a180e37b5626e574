"""Per-example gradients from `queries` alone against those written out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.config import LearningConfig
from models.nets import Inputs, encoder_named, encoder_of, examples_by_autograd
from models.nets import examples as examples_module

DIM = 6


def asked(encoder: str) -> tuple[Inputs, Tensor, dict[str, Tensor], Tensor]:
    """Repeats, an unknown item, filling after the last input, unknown users; weights all over."""
    random = torch.Generator().manual_seed(4)
    net = encoder_of(LearningConfig(encoder=encoder))
    flat = 0.5 * torch.randn(net.layout(DIM).size, generator=random)
    inputs = torch.tensor(
        [[-1, 3, 3, 1], [-1, 0, -1, -1], [-1, 4, -1, 2], [-1, -1, -1, -1], [-1, 2, 1, 0]]
    )
    given = Inputs(
        items=torch.randn(5, DIM, generator=random),
        users=torch.randn(2, DIM, generator=random),
        inputs=inputs,
        user_idx=torch.tensor([0, -1, 1, -1, 0] if net.has_users else [-1] * 5),
    )
    last = torch.tensor([3, 1, 3, 0, 2])
    return given, last, net.layout(DIM).views(flat), torch.randn(5, DIM, generator=random)


@pytest.mark.parametrize("encoder", ["gru", "mf"])
def test_one_by_one_agrees_with_what_is_written_out(encoder: str) -> None:
    given, last, dense, gradient = asked(encoder)
    net = encoder_of(LearningConfig(encoder=encoder))
    with torch.no_grad():
        expected_queries, expected = net.examples(given, last, dense)
        queries, found = examples_by_autograd(net, given, last, dense, mapped=False)
        torch.testing.assert_close(queries, expected_queries)
        one, other = found(gradient), expected(gradient)
    torch.testing.assert_close(one.dense, other.dense, rtol=1e-4, atol=1e-6)
    read = (given.inputs >= 0)[..., None]
    torch.testing.assert_close(one.inputs, torch.where(read, other.inputs, 0.0))
    torch.testing.assert_close(one.users, other.users)
    assert float(one.dense.sum()) > 0.0


@pytest.mark.parametrize("at_once", [1, 2, 32])
def test_many_at_once_agree_with_one_by_one(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples_module, "_AT_ONCE", at_once)
    given, last, dense, gradient = asked("sasrec")
    net = encoder_named("sasrec", {"layers": 3, "heads": 3})
    flat = 0.5 * torch.randn(net.layout(DIM).size, generator=torch.Generator().manual_seed(1))
    dense = net.layout(DIM).views(flat)
    with torch.no_grad():
        _, found = examples_by_autograd(net, given, last, dense)
        _, expected = examples_by_autograd(net, given, last, dense, mapped=False)
        one, other = found(gradient), expected(gradient)
    torch.testing.assert_close(one.dense, other.dense, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one.inputs, other.inputs, rtol=1e-4, atol=1e-5)
    assert float(one.inputs.abs().sum()) > 0.0


def test_wide_weights_are_taken_a_few_at_a_time() -> None:
    """What is held at once is bounded by numbers, not by examples."""
    assert examples_module._at_once((torch.empty(10),)) == 32
    assert examples_module._at_once((torch.empty(1 << 20, device="meta"),)) == 4
    assert examples_module._at_once((torch.empty(1 << 30, device="meta"),)) == 1
