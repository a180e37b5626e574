"""Blocks on an encoder against their formula by slow loops, and their gradients one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from models.config import LearningConfig
from models.continual import fisher as fisher_module
from models.continual.fisher import estimate_fisher
from models.nets import Inputs, Recommender, encoder_of, examples_by_autograd
from models.nets.blocks import Blocks
from models.nets.growth import GrownEncoder
from models.registry import ENCODERS
from tests.oracles.test_fisher import FixedSampler, by_backward, estimated, recommender, samples

DIM = 6
BLOCKS = Blocks({"late": ((3, 1),), "early": ((0, 1, 2), (0, 1), (5,))})
HISTORIES = [[3, 1, 7], [], [2], [5, 5, 0, 9]]
USERS = [0, -1, 2, 1]

each_encoder = pytest.mark.parametrize("encoder", ENCODERS)


def noisy(net: Recommender) -> Recommender:
    """The same with all of its blocks' weights away from 0."""
    generator = torch.Generator().manual_seed(3)
    for name, part in net.layout.views(net.dense).items():
        if "." in name:
            part.normal_(generator=generator)
    return net


def by_loops(
    blocks: Blocks, latest: list[float], hidden: list[float], dense: dict[str, Tensor]
) -> list[float]:
    """One query in float64, number by number."""
    query = list(hidden)
    for owner, stack in blocks.units.items():
        lateral: list[float] = []
        for number, units in enumerate(stack):
            weight, bias, output = (
                dense[f"{owner}.{number}.{w}"].double().tolist()
                for w in ("input", "bias", "output")
            )
            read, raised = [*latest, *hidden, *lateral], []
            for unit in range(len(units)):
                total = bias[unit]
                for place, value in enumerate(read):
                    total += weight[unit][place] * value
                raised.append(max(0.0, total))
                for place in range(len(query)):
                    query[place] += raised[unit] * output[unit][place]
            lateral += raised
    return query


def test_a_block_reads_the_item_the_encoder_and_the_older_blocks() -> None:
    generator = torch.Generator().manual_seed(1)
    layout = BLOCKS.layout(DIM)
    dense = layout.views(torch.randn(layout.size, generator=generator, dtype=torch.float64))
    latest, hidden = torch.randn(2, 4, DIM, generator=generator, dtype=torch.float64)
    found = BLOCKS(latest, hidden, dense)
    for line in range(4):
        expected = by_loops(BLOCKS, latest[line].tolist(), hidden[line].tolist(), dense)
        torch.testing.assert_close(found[line], torch.tensor(expected, dtype=torch.float64))
    assert dense["early.2.input"].shape == (1, 2 * DIM + 5)


@each_encoder
def test_the_latest_item_is_that_of_each_position(encoder: str) -> None:
    """START and unknown items are 0; the others their vector times √D."""
    net = noisy(recommender(encoder, True).with_blocks(BLOCKS, 1))
    inputs = torch.tensor([[-1, 2, -1, 4]])
    given, dense = net.gather(inputs, torch.tensor([1])), net.layout.views(net.dense)
    hidden = net.base.queries(given, dense, None)
    found = net.encoder.queries(given, dense, None)
    for place, item in enumerate(inputs[0].tolist()):
        latest = torch.zeros(3) if item < 0 else net.vectors(net.items.rows[[item]])[0] * 3**0.5
        expected = by_loops(BLOCKS, latest.tolist(), hidden[0, place].tolist(), dense)
        torch.testing.assert_close(found[0, place], torch.tensor(expected), rtol=1e-4, atol=1e-5)


@each_encoder
def test_growth_changes_no_score_to_the_bit(encoder: str) -> None:
    net = recommender(encoder, True, type_heads=("buy",))
    net.layout.views(net.dense)["head_weight"].normal_()
    heads = [0, -1, 0, -1]
    before = net.encode(HISTORIES, USERS, heads)
    once = net.with_blocks(Blocks({"a": ((0, 1),)}), 5)
    assert torch.equal(once.encode(HISTORIES, USERS, heads), before)
    learned = noisy(once).encode(HISTORIES, USERS, heads)
    assert not torch.allclose(learned, before)
    for more in (((0, 1), (0,)), ((0, 1, 2),)):
        again = once.with_blocks(Blocks({"a": more, "b": ((0, 1),)}), 6)
        torch.testing.assert_close(again.encode(HISTORIES, USERS, heads), learned)
    assert torch.equal(once.with_blocks(Blocks(), 7).encode(HISTORIES, USERS, heads), before)


def test_a_unit_is_born_of_its_seed_block_and_number_alone() -> None:
    def weights(blocks: Blocks, name: str, seed: int = 4) -> Tensor:
        return blocks.layout(DIM).views(blocks.initial(DIM, seed))[name]

    few, many = Blocks({"a": ((1,), (0,))}), Blocks({"a": ((0, 1), (0,)), "b": ((1,),)})
    assert torch.equal(weights(few, "a.0.input")[0], weights(many, "a.0.input")[1])
    assert not torch.equal(weights(many, "b.0.input")[0], weights(many, "a.0.input")[1])
    assert not torch.equal(weights(few, "a.0.input", 5), weights(few, "a.0.input"))
    assert not weights(many, "a.0.output").any()
    assert weights(many, "a.0.input").std() == pytest.approx((2 / (2 * DIM)) ** 0.5, rel=0.3)


def test_a_version_says_what_blocks_it_has() -> None:
    net = noisy(recommender("gru", True).with_blocks(BLOCKS, 1))
    assert net.meta["blocks"] == {"early": [[0, 1, 2], [0, 1], [5]], "late": [[3, 1]]}
    again = Recommender.from_snapshot(net.snapshot(), net.meta)
    assert (again.layout, again.blocks) == (net.layout, net.blocks)
    assert torch.equal(again.encode(HISTORIES), net.encode(HISTORIES))
    assert "blocks" not in recommender("gru", True).meta


@each_encoder
def test_gradients_in_closed_form_are_those_of_each_example(encoder: str) -> None:
    generator = torch.Generator().manual_seed(4)
    grown = GrownEncoder(encoder_of(LearningConfig(encoder=encoder)), BLOCKS)
    layout = grown.layout(DIM)
    dense = layout.views(0.5 * torch.randn(layout.size, generator=generator))
    given = Inputs(
        items=torch.randn(5, DIM, generator=generator),
        users=torch.randn(2, DIM, generator=generator),
        inputs=torch.tensor([[-1, 3, 3, 1], [-1, 0, -1, -1], [-1, 4, -1, 2], [-1, -1, -1, -1]]),
        user_idx=torch.tensor([0, -1, 1, -1] if grown.has_users else [-1] * 4),
    )
    last, gradient = torch.tensor([3, 1, 2, 0]), torch.randn(4, DIM, generator=generator)
    with torch.no_grad():
        queries, found = grown.examples(given, last, dense)
        plain, expected = examples_by_autograd(grown, given, last, dense, mapped=False)
        one, other = found(gradient), expected(gradient)
    torch.testing.assert_close(queries, plain)
    torch.testing.assert_close(one.dense, other.dense, rtol=1e-4, atol=1e-5)
    read = (given.inputs >= 0)[..., None]
    torch.testing.assert_close(one.inputs, torch.where(read, other.inputs, 0.0))
    torch.testing.assert_close(one.users, other.users)
    assert all(part.any() for name, part in layout.views(one.dense).items() if "." in name)


@each_encoder
@pytest.mark.parametrize("at_once", [1, 128])
def test_the_fisher_agrees_with_one_backward_pass_per_example(
    encoder: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fisher_module, "_EXAMPLES_AT_ONCE", at_once)
    net = noisy(recommender(encoder, True).with_blocks(BLOCKS, 1))
    sampler = FixedSampler([1, 2, 3, 10], [0.3, -0.7, 0.0, 1.1])
    fisher = estimate_fisher(
        net, samples(), sampler, examples=99, labels="empirical", generator=np.random.default_rng(0)
    )
    expected = by_backward(net, samples(), sampler.draw(np.random.default_rng(0)))
    for name, tensor in estimated(net, fisher).items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-3, atol=1e-5)
