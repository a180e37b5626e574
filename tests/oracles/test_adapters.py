"""Adapters on an encoder against their formula by slow loops, and their gradients one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from models.config import LearningConfig
from models.continual.fisher import estimate_fisher
from models.nets import Inputs, Recommender, encoder_of
from models.nets.adapters import DOWN, NO_DOMAIN, UP, AdaptedEncoder, Adapters
from models.nets.blocks import Blocks
from models.registry import ENCODERS
from tests.oracles.test_fisher import FixedSampler, by_backward, estimated, recommender, samples

DIM = 6
ADAPTERS = Adapters((2, 0), rank=16)
DOMAINS = torch.tensor([0, 1, 2, 0, NO_DOMAIN, 2])
"""Of the first items: domain 1 has no adapter, item 4 no domain, and the items behind neither."""
HISTORIES = [[3, 1, 7, 0], [], [1, 2], [5, 4], [2, 1]]
USERS = [0, -1, 2, 1, 0]

each_encoder = pytest.mark.parametrize("encoder", ENCODERS)


def noisy(net: Recommender) -> Recommender:
    """The same with the adapters' weights away from 0."""
    views, generator = net.layout.views(net.dense), torch.Generator().manual_seed(3)
    for name in (DOWN, UP):
        views[name].normal_(generator=generator)
    return net


def adapted(encoder: str, *, blocks: bool = False) -> Recommender:
    net = recommender(encoder, True).with_adapters(ADAPTERS, DOMAINS, 1)
    return noisy(net.with_blocks(Blocks({"a": ((0, 1),)}), 2) if blocks else net)


def by_loops(hidden: list[float], domain: int, dense: dict[str, Tensor]) -> list[float]:
    """One query in float64, number by number."""
    if domain not in ADAPTERS.domains:
        return hidden
    at, query = ADAPTERS.domains.index(domain), list(hidden)
    down, up = (dense[name][at].double().tolist() for name in (DOWN, UP))
    for unit in range(ADAPTERS.rank):
        raised = sum(down[unit][place] * value for place, value in enumerate(hidden))
        for place in range(len(query)):
            query[place] += up[place][unit] * max(0.0, raised)
    return query


@each_encoder
def test_each_position_goes_through_the_adapter_of_its_latest_item(encoder: str) -> None:
    net = adapted(encoder)
    inputs = torch.tensor([[-1, 2, 1, 0, 4, 3, -1, 5, 9]])
    given, dense = net.gather(inputs, torch.tensor([1])), net.layout.views(net.dense)
    hidden = net.base.queries(given, dense, None)[0]
    found = net.encoder.queries(given, dense, None)[0]
    domains = [-1, 2, 1, 0, -1, 0, -1, 2, -1]
    for place, domain in enumerate(domains):
        expected = torch.tensor(by_loops(hidden[place].tolist(), domain, dense))
        torch.testing.assert_close(found[place], expected, rtol=1e-4, atol=1e-5)
    changed = [place for place in range(9) if not torch.equal(found[place], hidden[place])]
    assert changed == [place for place in range(9) if domains[place] in (0, 2)]


@each_encoder
def test_a_new_adapter_changes_no_score_to_the_bit(encoder: str) -> None:
    plain = recommender(encoder, True)
    before = plain.encode(HISTORIES, USERS)
    once = plain.with_adapters(Adapters((0,), rank=4), DOMAINS, 5)
    assert torch.equal(once.encode(HISTORIES, USERS), before)
    learned = noisy(once).encode(HISTORIES, USERS)
    changed = [line for line in range(5) if not torch.equal(learned[line], before[line])]
    assert changed == [0], "the one whose latest item is of domain 0"
    again = once.with_adapters(Adapters((0, 1, 2), rank=4), DOMAINS, 6)
    assert torch.equal(again.encode(HISTORIES, USERS), learned)
    assert torch.equal(again.grown(20, 9).encode(HISTORIES, USERS), learned)
    blocked = again.with_blocks(Blocks({"a": ((0, 1),)}), 7)
    assert torch.equal(blocked.encode(HISTORIES, USERS), learned)
    none = blocked.with_adapters(Adapters(), DOMAINS, 8)
    assert torch.equal(none.encode(HISTORIES, USERS), before)
    assert none.domains is None


def test_an_adapter_is_born_of_its_seed_and_domain_alone() -> None:
    def weights(domains: tuple[int, ...], seed: int = 4) -> dict[str, Tensor]:
        adapters = Adapters(domains, rank=64)
        return adapters.layout(DIM).views(adapters.initial(DIM, seed))

    few, many = weights((1,)), weights((0, 1))
    assert torch.equal(few[DOWN][0], many[DOWN][1])
    assert not torch.equal(many[DOWN][0], many[DOWN][1])
    assert not torch.equal(weights((1,), 5)[DOWN], few[DOWN])
    assert not many[UP].any()
    assert many[DOWN].std() == pytest.approx((2 / DIM) ** 0.5, rel=0.1)


def test_a_version_says_what_adapters_it_has() -> None:
    net = adapted("gru", blocks=True)
    again = Recommender.from_snapshot(net.tensors(), net.meta)
    assert (again.layout, again.adapters) == (net.layout, ADAPTERS)
    assert torch.equal(again.encode(HISTORIES), net.encode(HISTORIES))
    plain = recommender("gru", True)
    assert not {"adapters", "domains"} & {*plain.meta, *plain.tensors()}
    with pytest.raises(ValueError, match="domains: expected one for each"):
        Recommender.from_snapshot(net.snapshot(), net.meta)


@each_encoder
def test_gradients_in_closed_form_are_those_of_each_example(encoder: str) -> None:
    generator = torch.Generator().manual_seed(4)
    whole = AdaptedEncoder(encoder_of(LearningConfig(encoder=encoder)), ADAPTERS)
    layout = whole.layout(DIM)
    dense = layout.views(0.5 * torch.randn(layout.size, generator=generator))
    given = Inputs(
        items=torch.randn(5, DIM, generator=generator),
        users=torch.randn(2, DIM, generator=generator),
        inputs=torch.tensor([[-1, 3, 3, 1], [-1, 0, -1, -1], [-1, 4, 1, 2], [-1, -1, -1, -1]]),
        user_idx=torch.tensor([0, -1, 1, -1] if whole.has_users else [-1] * 4),
        domains=torch.tensor([0, 2, 2, 1, 0]),
    )
    last, gradient = torch.tensor([3, 1, 3, 0]), torch.randn(4, DIM, generator=generator)
    with torch.no_grad():
        queries, backward = whole.examples(given, last, dense)
        found = backward(gradient)
    squares = torch.zeros(layout.size)
    for example in range(4):
        leaves = {name: part.clone().requires_grad_() for name, part in dense.items()}
        query = whole.queries(given, leaves, None)[example, last[example]]
        torch.testing.assert_close(queries[example], query.detach())
        parts = torch.autograd.grad(
            query @ gradient[example], list(leaves.values()), materialize_grads=True
        )
        squares += layout.flat(parts).square()
    torch.testing.assert_close(found.dense, squares, rtol=1e-4, atol=1e-5)
    for name in (DOWN, UP):
        assert layout.views(found.dense)[name].flatten(1).any(1).all()


@each_encoder
@pytest.mark.parametrize("blocks", [False, True])
def test_the_fisher_agrees_with_one_backward_pass_per_example(encoder: str, blocks: bool) -> None:
    net = adapted(encoder, blocks=blocks)
    sampler = FixedSampler([1, 2, 3, 10], [0.3, -0.7, 0.0, 1.1])
    fisher = estimate_fisher(
        net, samples(), sampler, examples=99, labels="empirical", generator=np.random.default_rng(0)
    )
    expected = by_backward(net, samples(), sampler.draw(np.random.default_rng(0)))
    for name, tensor in estimated(net, fisher).items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-3, atol=1e-5)
