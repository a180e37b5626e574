"""The gate: what it must refuse, what it must let through, and what it says."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import Tensor

from models.config import LearningConfig
from models.continual.gate import Verdict, judge, paired_bounds
from models.continual.state import LearningState
from models.continual.window import Candidate, learn_window
from models.interactions import Event
from tests.models.tastes import event, learned

CONFIG = LearningConfig(
    embedding_dim=16, min_steps=30, fisher_samples=64, probe_share=0.3, holdout_share=0.3
)


def stream(users: range, first: int, *, flipped: bool = False) -> list[Event]:
    """New users of two tastes, six events each."""
    events: list[Event] = []
    for user in users:
        side = "AB"[(user + flipped) % 2]
        for step in range(6):
            item = f"{side}{(user // 2 + step * 7) % 30}"
            events.append(event(f"u{user}", item, first + len(events)))
    return events


@pytest.fixture(scope="module")
def active() -> LearningState:
    return learned(LearningState.initial(CONFIG), stream(range(400), 0), size=1_200)


@pytest.fixture(scope="module")
def clean(active: LearningState) -> Candidate:
    return learn_window(active, stream(range(400, 700), 9_000), seed=7, draw=())


def broken(candidate: Candidate, **parts: Tensor) -> LearningState:
    """The candidate with some of its parameters replaced."""
    net = candidate.state.net.grown(len(candidate.state.items), len(candidate.state.users))
    for name, tensor in parts.items():
        net.snapshot()[name].copy_(tensor)
    return dataclasses.replace(candidate.state, net=net)


def verdict_on(
    state: LearningState, active: LearningState, clean: Candidate, best: LearningState | None = None
) -> Verdict:
    return judge(active, state, best=best, holdout=clean.holdout, seed=1)


def test_a_clean_update_is_accepted_with_figures(active: LearningState, clean: Candidate) -> None:
    verdict = verdict_on(clean.state, active, clean)
    assert (verdict.accepted, verdict.verdict) == (True, "accepted")
    assert verdict.new["users"] == len({sample.user_id for sample in clean.holdout})
    assert verdict.new["ndcg@20"] > 0.3
    assert verdict.new["low"] <= verdict.new["difference"] <= verdict.new["high"]
    assert verdict.best is None
    json.dumps(dataclasses.asdict(verdict), allow_nan=False)


def test_the_forgetting_report_has_a_line_for_each_band(
    active: LearningState, clean: Candidate
) -> None:
    bands = verdict_on(clean.state, active, clean).old["bands"]
    assert len(bands) == 3
    assert sum(band["queries"] for band in bands) == len(clean.state.memory.probes)
    assert all(0.0 <= band["recall@20"] <= 1.0 for band in bands)


def test_a_windows_own_probes_are_new_and_not_old(active: LearningState, clean: Candidate) -> None:
    """Poison in a window must not vote for itself among the old periods."""
    verdict = verdict_on(clean.state, active, clean)
    before = {sample.user_id for sample in active.memory.probes.samples}
    assert verdict.old["users"] == len(before)
    probes = {sample.user_id for sample in clean.state.memory.probes.samples}
    assert probes - before <= {sample.user_id for sample in clean.holdout}


def test_a_holdout_of_too_few_users_is_pooled_with_the_newest_probes(
    active: LearningState, clean: Candidate
) -> None:
    few = clean.holdout[:5]
    verdict = judge(active, clean.state, best=None, holdout=few, seed=1)
    own = {sample.key for sample in few}
    newest = [s for s in clean.state.memory.probes.bands[-1].samples if s.key not in own]
    assert verdict.new["pooled"] == len(newest)
    assert verdict.new["users"] == len({s.user_id for s in (*few, *newest)})
    assert verdict.new["enough"]
    assert verdict_on(clean.state, active, clean).new["pooled"] == 0


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", ["items", "dense"])
def test_what_is_not_finite_is_refused(
    name: str, value: float, active: LearningState, clean: Candidate
) -> None:
    tensor = clean.state.net.snapshot()[name].clone()
    tensor[0] = value
    verdict = verdict_on(broken(clean, **{name: tensor}), active, clean)
    assert not verdict.accepted
    assert name in verdict.reason


def test_a_collapse_of_all_queries_is_refused(active: LearningState, clean: Candidate) -> None:
    dense = torch.zeros_like(clean.state.net.dense)
    verdict = verdict_on(broken(clean, dense=dense), active, clean)
    assert verdict.verdict == "refused"
    assert "new events" in verdict.reason
    assert "old periods" in verdict.reason


def test_a_collapse_of_all_items_is_refused(active: LearningState, clean: Candidate) -> None:
    items = torch.ones_like(clean.state.net.items.rows)
    assert verdict_on(broken(clean, items=items), active, clean).verdict == "refused"


def test_forgetting_alone_is_refused(active: LearningState) -> None:
    """No worse on what is new, which is noise, bad on what was: only the probes can tell."""
    random = np.random.default_rng(0)
    noise = [
        dataclasses.replace(e, item_id=f"{'AB'[random.integers(2)]}{random.integers(30)}")
        for e in stream(range(700, 1_000), 9_000)
    ]
    config = dataclasses.replace(CONFIG, methods=(), min_steps=200, learning_rate=0.05)
    parent = dataclasses.replace(active, config=config)
    forgetful = learn_window(parent, noise, seed=3, draw=())
    verdict = judge(active, forgetful.state, best=None, holdout=forgetful.holdout, seed=1)
    assert not verdict.new["refused"]
    assert verdict.old["refused"]
    assert verdict.verdict == "refused"
    assert "old periods" in verdict.reason


def test_flipped_labels_are_refused(active: LearningState) -> None:
    """Users answer with the wrong side in what is trained, not in what is held out."""
    window = stream(range(700, 1_000), 9_000)
    honest = learn_window(active, window, seed=3, draw=())
    fair = {sample.user_id for sample in honest.holdout}
    poisoned = [
        e
        if e.user_id in fair
        else dataclasses.replace(e, item_id=f"{'BA'[e.item_id[0] == 'B']}{n % 30}")
        for n, e in enumerate(window)
    ]
    config = dataclasses.replace(CONFIG, methods=(), min_steps=400)
    parent = dataclasses.replace(active, config=config)
    candidate = learn_window(parent, poisoned, seed=3, draw=())
    assert judge(active, honest.state, best=None, holdout=honest.holdout, seed=1).accepted
    verdict = judge(active, candidate.state, best=None, holdout=honest.holdout, seed=1)
    assert verdict.verdict == "refused"


def test_the_best_of_the_day_is_asked_too(active: LearningState, clean: Candidate) -> None:
    worse = broken(clean, dense=torch.zeros_like(clean.state.net.dense))
    against_worse = judge(worse, worse, best=None, holdout=clean.holdout, seed=1)
    against_best = judge(worse, worse, best=active, holdout=clean.holdout, seed=1)
    assert against_worse.verdict == "accepted"
    assert against_best.verdict == "refused"
    assert "best version of the day" in against_best.reason
    assert against_best.best is not None
    assert against_best.best["new"]["refused"]


def test_too_few_users_are_let_through_and_said(active: LearningState, clean: Candidate) -> None:
    config = dataclasses.replace(CONFIG, gate_min_users=10_000)
    few = dataclasses.replace(clean.state, config=config)
    verdict = verdict_on(few, active, clean)
    assert (verdict.accepted, verdict.verdict) == (True, "insufficient_evidence")
    assert "10000 are asked for" in verdict.reason


def test_the_first_version_of_all_has_nothing_to_be_compared_with() -> None:
    empty = LearningState.initial(CONFIG)
    first = learn_window(empty, stream(range(300), 0), seed=1, draw=())
    verdict = judge(empty, first.state, best=None, holdout=first.holdout, seed=1)
    assert verdict.verdict == "insufficient_evidence"
    json.dumps(dataclasses.asdict(verdict), allow_nan=False)


def test_growth_alone_is_no_fault(active: LearningState, clean: Candidate) -> None:
    """A thousand new items crowd the lists; both sides are judged among what both know."""
    window = [event("v", f"new{n}", 20_000 + n) for n in range(1_000)]
    config = dataclasses.replace(CONFIG, min_steps=0, epochs=1, learning_rate=1e-6)
    grown = learn_window(dataclasses.replace(active, config=config), window, seed=1, draw=())
    verdict = judge(active, grown.state, best=None, holdout=clean.holdout, seed=1)
    assert verdict.verdict == "accepted"
    assert abs(verdict.new["difference"]) < 1e-3


def test_clean_streams_are_rarely_refused() -> None:
    """At most one in twenty, over five streams of eight windows."""
    refused = 0
    for seed in range(5):
        state = LearningState.initial(dataclasses.replace(CONFIG, seed=seed, min_steps=20))
        for window in range(8):
            events = stream(range(200 * window, 200 * window + 200), 10_000 * window)
            candidate = learn_window(state, events, seed=100 * seed + window, draw=())
            verdict = judge(
                state, candidate.state, best=None, holdout=candidate.holdout, seed=window
            )
            refused += not verdict.accepted
            state = candidate.state
    assert refused <= 2


def test_bounds_cover_the_mean_as_often_as_they_say() -> None:
    random, covered = np.random.default_rng(5), 0
    for _ in range(300):
        low, high = paired_bounds(random.normal(0.3, 1.0, size=60), 0.95, random)
        covered += low <= 0.3 <= high
    assert 0.84 <= covered / 300 <= 0.95


def test_bounds_are_the_generators() -> None:
    differences = np.random.default_rng(0).normal(size=50)
    one, again = (paired_bounds(differences, 0.95, np.random.default_rng(3)) for _ in range(2))
    assert one == again


def test_users_count_equally_however_many_queries(active: LearningState, clean: Candidate) -> None:
    twice = [clean.holdout[0]] * 50 + clean.holdout
    once = verdict_on(clean.state, active, clean)
    more = judge(active, clean.state, best=None, holdout=twice, seed=1)
    assert more.new["users"] == once.new["users"]
    assert more.new["difference"] == pytest.approx(once.new["difference"], abs=1e-6)
