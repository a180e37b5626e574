"""Domains, as they are found and grow, and what learning under adapters moves."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
import torch

from models.config import LearningConfig
from models.continual.adapters import DomainAdapters
from models.continual.domains import Domains
from models.continual.state import LearningState
from models.continual.window import learn_window
from models.interactions import Event
from models.nets.adapters import DOWN, NO_DOMAIN, UP
from models.nets.serving import load_serving
from tests.models.tastes import checkerboard, event, learned

AXES = torch.eye(4)


def around(axis: int, count: int, seed: int) -> torch.Tensor:
    """Items near one axis, of any length."""
    random = torch.Generator().manual_seed(seed)
    noise = 0.05 * torch.randn(count, 4, generator=random)
    return (AXES[axis] + noise) * (0.5 + torch.rand(count, 1, generator=random))


def first(seed: int = 0) -> tuple[torch.Tensor, Domains]:
    vectors = torch.cat([around(axis, 10, axis) for axis in range(2)])
    return vectors, Domains.found(vectors, 2, seed)


@pytest.mark.parametrize("seed", range(4))
def test_items_that_are_alike_are_one_domain(seed: int) -> None:
    vectors, domains = first(seed)
    of = domains.of.tolist()
    assert len(set(of[:10])) == len(set(of[10:])) == 1
    assert of[0] != of[10]
    means = torch.stack([vectors[domains.of == number] for number in range(2)])
    directions = torch.nn.functional.normalize(means, dim=2)
    centres = torch.nn.functional.normalize(directions.mean(1), dim=1)
    torch.testing.assert_close(domains.centres, centres)
    own = (directions * centres[:, None]).sum(2)
    torch.testing.assert_close(domains.least, own.min()[None])


def test_an_item_goes_to_the_nearest_centre_or_opens_a_domain() -> None:
    vectors, domains = first()
    vectors = torch.cat([vectors, 3.0 * domains.centres.flip(0), around(2, 2, 8), around(3, 1, 9)])
    found = domains.grown(vectors, most=3)
    assert torch.equal(found.of[:20], domains.of), "what is placed stays"
    assert found.of[20:24].tolist() == [1, 0, 2, 2]
    assert int(found.of[24]) != 3, "as many as there may be"
    assert torch.equal(found.centres[:2], domains.centres)
    assert domains.grown(vectors, most=4).of.tolist()[20:] == [1, 0, 2, 2, 3]


def settings(**parameters: int) -> LearningConfig:
    return LearningConfig(
        methods=("adapters",),
        parameters={"adapters": {"domains": 2, **parameters}},
        embedding_dim=8,
        probe_share=0.0,
        holdout_share=0.0,
        epochs=1,
        min_steps=20,
    )


def after(state: LearningState, events: Sequence[Event]) -> LearningState:
    return learn_window(state, events, seed=state.updates, draw=()).state


def method(state: LearningState) -> DomainAdapters:
    found = state.methods["adapters"]
    assert isinstance(found, DomainAdapters)
    return found


def based(**parameters: int) -> LearningState:
    """Two tastes learned in one update: as a base."""
    return after(LearningState.initial(settings(**parameters)), checkerboard())


def test_the_encoder_stands_still_and_adapters_and_rows_learn() -> None:
    base = based()
    assert not base.net.adapters
    state = after(base, checkerboard(flipped=True, first=1_000))
    before, now = (one.net.layout.views(one.net.dense) for one in (base, state))
    for name in base.net.base_names:
        assert torch.equal(before[name], now[name])
    assert now[UP].flatten(1).any(1).all()
    assert not torch.equal(before["log_temperature"], now["log_temperature"])
    assert not torch.equal(base.net.items.rows, state.net.items.rows)
    assert state.net.domains is not None
    assert torch.equal(state.net.domains, method(base).domains.of)  # type: ignore[union-attr]


def test_an_adapter_learns_from_its_own_domain_alone() -> None:
    """Users whose history is of one domain leave the adapters of the others as they were born."""
    base = based()
    domains = method(base).domains
    assert domains is not None
    mine = [row for row, domain in enumerate(domains.of.tolist()) if domain == 0]
    names = [base.items.id(row) for row in mine]
    events = [event(f"n{n % 5}", names[(n * 7) % len(names)], 2_000 + n) for n in range(100)]
    state = after(base, events)
    up = state.net.layout.views(state.net.dense)[UP]
    assert up[0].any()
    assert not up[1].any()


def test_a_domain_that_comes_up_gets_its_adapter_and_the_others_keep_theirs() -> None:
    state = after(based(), checkerboard(flipped=True, first=1_000))
    own = method(state)
    assert own.domains is not None
    size, dim = len(state.items), 8
    far = -own.domains.centres.sum(0, keepdim=True)
    rows = torch.cat([state.net.items.rows, far.expand(3, dim)])
    grown = own.domains.grown(rows, most=16)
    assert grown.of.tolist() == [*own.domains.of.tolist(), 2, 2, 2]
    twin = DomainAdapters(own.parameters, own.seed, own.updates, grown)
    net = state.net.grown(size + 3, len(state.users))
    assert net.domains is not None
    assert net.domains[size:].tolist() == [NO_DOMAIN] * 3
    bigger = twin.resized(net, seed=9)
    assert bigger.adapters.domains == (0, 1, 2)
    histories = [[row] for row in range(size + 3)]
    assert torch.equal(bigger.encode(histories), net.encode(histories))
    for name in (DOWN, UP):
        before, now = (one.layout.views(one.dense)[name] for one in (net, bigger))
        assert torch.equal(before, now[:2])


def test_adapters_keep_their_rank_when_settings_ask_for_another() -> None:
    state = after(based(rank=3), checkerboard(flipped=True, first=1_000))
    other = settings(rank=5)
    again = after(LearningState.restore(state.export(), other), checkerboard()[:40])
    assert again.net.adapters.rank == 3


def test_answers_are_given_by_the_domains_that_a_version_was_written_with() -> None:
    state = after(based(), checkerboard(flipped=True, first=1_000))
    again = LearningState.restore(state.export(), dataclasses.replace(state.config, methods=()))
    histories = [[row] for row in range(len(state.items))]
    served = load_serving(state.export())[0]
    for net in (again.net, served):
        assert torch.equal(net.encode(histories), state.net.encode(histories))
    assert learned(again, checkerboard()[:40]).net.adapters == state.net.adapters


def test_named_again_the_method_starts_without_the_adapters_it_had_left() -> None:
    state = after(based(), checkerboard(flipped=True, first=1_000))
    without = LearningState.restore(state.export(), dataclasses.replace(state.config, methods=()))
    left = after(without, checkerboard()[:40])
    again = after(LearningState.restore(left.export(), state.config), checkerboard()[40:80])
    assert left.net.adapters
    assert not again.net.adapters
    up = after(again, checkerboard()[80:120]).net
    assert up.adapters.domains == (0, 1)
