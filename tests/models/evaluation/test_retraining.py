"""What the retraining arms train on, and from which weights; the base under every penalty."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from models.evaluation.arm import ArmSetup
from models.evaluation.arms import named
from models.evaluation.learning import Learner
from models.evaluation.retraining import FullRetrain, LastPeriod, WarmRetrain
from models.evaluation.stream import Stream
from models.nets import Recommender
from tests.models.evaluation.streams import cycles
from tests.models.evaluation.test_learning import SMALL


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def stream() -> Stream:
    """200 events: 120 of the base, then four periods of 20."""
    return cycles(users=10, steps=20)


def _after(arm: Learner, stream: Stream, periods: int) -> dict[str, float]:
    arm.fit(stream.slice(0))
    for period in range(1, periods + 1):
        arm.update(stream.slice(period))
    return arm.costs()


def _weights(arm: Learner) -> dict[str, torch.Tensor]:
    return arm._state.net.snapshot()


def _setup(**changes: object) -> ArmSetup:
    quick = dataclasses.replace(SMALL, min_steps=0, batch_size=64)
    return ArmSetup(config=dataclasses.replace(quick, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "trained", "again"),
    [
        (FullRetrain, 4 * (140 + 160), 120 + 140),
        (WarmRetrain, 4 * (140 + 160), 120 + 140),
        (LastPeriod, 4 * (20 + 20), 0),
    ],
)
def test_what_is_trained_on_and_what_of_it_again(
    kind: type[Learner], trained: int, again: int, stream: Stream
) -> None:
    costs = _after(kind(_setup(epochs=4, full_epochs=4)), stream, 2)

    assert costs["positions_trained"] == trained
    assert costs["events_replayed"] == again


def test_cold_takes_the_full_passes_and_warm_those_of_an_update(stream: Stream) -> None:
    setup = _setup(epochs=1, full_epochs=3)

    assert _after(FullRetrain(setup), stream, 1)["positions_trained"] == 3 * 140
    assert _after(LastPeriod(setup), stream, 1)["positions_trained"] == 3 * 20
    assert _after(WarmRetrain(setup), stream, 1)["positions_trained"] == 1 * 140


def test_whole_periods_hold_nobody_out_and_windows_do_as_the_service(stream: Stream) -> None:
    setup = _setup(holdout_share=0.5, epochs=1, methods=())
    assert _after(Learner(setup), stream, 1)["positions_trained"] == 20
    in_windows = dataclasses.replace(setup, window=10)
    learned = _after(Learner(in_windows), stream, 1)["positions_trained"]
    assert learned > 20, "what the base held out is learned with the first window"


def test_nobody_is_held_out_of_a_retrain(stream: Stream) -> None:
    costs = _after(FullRetrain(_setup(holdout_share=0.5, full_epochs=1)), stream, 1)

    assert costs["positions_trained"] == 140


@pytest.mark.parametrize(("kind", "cold"), [(FullRetrain, True), (WarmRetrain, False)])
def test_cold_weights_do_not_depend_on_those_before_and_warm_ones_do(
    kind: type[FullRetrain], cold: bool, stream: Stream
) -> None:
    straight, spoiled = kind(_setup()), kind(_setup())
    for arm in (straight, spoiled):
        arm.fit(stream.slice(0))
    state = spoiled._state
    weights = state.net.snapshot() | {"dense": state.net.dense + 0.1}
    meta = state.net.meta | {"max_history": SMALL.max_history}
    spoiled._state = dataclasses.replace(state, net=Recommender.from_snapshot(weights, meta))
    for arm in (straight, spoiled):
        arm.update(stream.slice(1))
    first, second = _weights(straight), _weights(spoiled)

    assert all(torch.equal(first[name], second[name]) for name in first) is cold


def test_the_last_period_alone_ranks_only_what_it_holds() -> None:
    stream = cycles(users=2, steps=60, items=60)
    arm = LastPeriod(_setup())
    _after(arm, stream, 1)
    ranked = np.flatnonzero(torch.isfinite(arm.version.vectors).all(dim=1).numpy())

    assert ranked.tolist() == sorted(set(stream.slice(1).item.tolist()))


def test_bytes_kept_are_all_events_none_or_the_buffer(stream: Stream) -> None:
    kept = {
        name: _after(named([name])[0].make(_setup()), stream, 1)["bytes_kept"]  # type: ignore[arg-type]
        for name in (
            *("full-retrain", "last-period", "finetune"),
            *("replay", "online-ewc", "ewc-replay"),
        )
    }

    # "u0" … "u9", "i0" … "i11" and "click" by 140 events, and 4 + 2 · 8 bytes of numbers
    letters = sum(len(stream.items.id(int(row))) for row in stream.item[:140])
    assert kept["full-retrain"] == letters + 140 * (2 + 5 + 4 + 16)
    assert kept["last-period"] == kept["finetune"] == 0
    assert 0 < kept["replay"] < kept["ewc-replay"]
    assert kept["ewc-replay"] == kept["online-ewc"] + kept["replay"]


@pytest.mark.parametrize("name", ["l2", "ewc", "online-ewc", "ewc-replay"])
def test_penalties_hold_the_base_from_the_first_update_on(name: str, stream: Stream) -> None:
    strong = _setup(
        parameters={method: {"strength": 1e6} for method in ("l2", "ewc", "online-ewc")},
        replay_ratio=0.0,
    )
    free, held = (named([arm])[0].make(strong) for arm in ("finetune", name))
    assert isinstance(free, Learner)
    assert isinstance(held, Learner)
    for arm in (free, held):
        arm.fit(stream.slice(0))
    before = _weights(held)["dense"].clone()
    assert torch.equal(before, _weights(free)["dense"]), "one base for all"
    for arm in (free, held):
        arm.update(stream.slice(1))
    moved = [float((_weights(arm)["dense"] - before).norm()) for arm in (free, held)]

    assert moved[1] < 0.7 * moved[0]
