"""Early stopping: which pass is kept, by what, and that nothing of the later ones stays."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from models.batches import SampleSet
from models.config import LearningConfig
from models.continual.full import learn_archive
from models.continual.memory import divided, set_aside
from models.continual.session import Session
from models.continual.state import LearningState
from models.continual.stopping import Stopping
from models.continual.update import UpdateReport, update
from models.continual.window import learn_window
from models.interactions import Sample
from tests.models.tastes import checkerboard, event, key, learned

CONFIG = LearningConfig(
    embedding_dim=8,
    methods=("online-ewc", "si"),
    probe_share=0.0,
    holdout_share=0.0,
    fisher_samples=16,
    min_steps=0,
    batch_size=16,
    epochs=5,
    num_negatives=12,
)


@pytest.fixture(scope="module")
def parent() -> LearningState:
    return learned(LearningState.initial(CONFIG), checkerboard())


def samples(
    parent: LearningState, *, flipped: bool, first: int = 0, count: int = 12
) -> list[Sample]:
    chosen = {f"u{n}" for n in range(first, first + count)}
    events = [e for e in checkerboard(flipped=flipped) if e.user_id in chosen]
    return parent.memory.histories.samples(events)


def run(
    parent: LearningState, held_out: list[Sample], **changes: object
) -> tuple[LearningState, UpdateReport]:
    config = dataclasses.replace(parent.config, **changes)  # type: ignore[arg-type]
    state = dataclasses.replace(parent, config=config)
    return update(state, samples(parent, flipped=True), (), seed=4, held_out=held_out)


def same(first: LearningState, second: LearningState) -> bool:
    one, other = first.export().tensors, second.export().tensors
    return all(
        torch.equal(tensor, other[part][name]) for part in one for name, tensor in one[part].items()
    )


def losses(parent: LearningState, held_out: list[Sample], passes: int) -> list[float]:
    """The held-out loss after 1 … passes, each from an update of that many, in float64."""
    found = []
    for epochs in range(1, passes + 1):
        state, _ = run(parent, [], epochs=epochs)
        drawn = Session(state, 4, "cpu").sampler.draw(np.random.default_rng([4, 3]))
        vectors, total, weight = state.net.item_vectors().double(), 0.0, 0.0
        for one in held_out:
            rows = state.items.rows(one.item_ids).tolist()
            for at in range(len(rows) - one.num_targets, len(rows)):
                query = state.net.encode([rows[:at]], [state.users.row(one.user_id)])[0].double()
                others = [
                    float(query @ vectors[row]) - float(shift)
                    for row, shift in zip(drawn.rows.tolist(), drawn.shift, strict=True)
                    if row != rows[at]
                ]
                own = float(query @ vectors[rows[at]])
                worth = one.weights[at - len(rows)]
                total += worth * (math.log(sum(map(math.exp, [own, *others]))) - own)
                weight += worth
        found.append(total / weight)
    return found


def test_the_best_pass_is_kept_and_no_later_one_is_waited_for(parent: LearningState) -> None:
    """By slow loops over updates of 1, 2, … passes."""
    held_out = samples(parent, flipped=True, first=20)
    patient = dataclasses.replace(parent, config=dataclasses.replace(CONFIG, learning_rate=0.03))
    expected = losses(patient, held_out, 7)
    best = 0
    while best + 1 < 7 and min(expected[best + 1 : best + 3]) < expected[best]:
        best += 1 + int(np.argmin(expected[best + 1 : best + 3]))
    stopped, report = run(patient, held_out, patience=2, epochs=7)
    assert 1 < report.kept_pass == best + 1 < 6, expected
    assert report.passes == min(best + 3, 7)
    assert same(stopped, run(patient, [], epochs=best + 1)[0])


def test_what_is_kept_of_a_falling_rate_was_pulled_at_its_own(parent: LearningState) -> None:
    """By hand: so many passes at the rates they had, and not a pull at a later one's."""
    falling = {"learning_rate": 0.06, "final_rate": 0.2, "methods": ("online-ewc",)}
    held_out = samples(parent, flipped=True, first=20)
    stopped, report = run(parent, held_out, patience=2, epochs=7, **falling)
    assert 1 < report.kept_pass < report.passes
    session = Session(
        dataclasses.replace(parent, config=dataclasses.replace(CONFIG, **falling)),  # type: ignore[arg-type]
        4,
        "cpu",
    )
    trained = samples(parent, flipped=True)
    both = SampleSet.of(trained, parent.items.rows, parent.users.rows)
    for done in range(report.kept_pass):
        session.slow_to(1.0 - 0.8 * (done + 0.5) / 7)
        for chosen in both.order(CONFIG.batch_size, session.random):
            session.train(both.batch(chosen), torch.zeros(len(chosen), dtype=torch.bool))
    session.finish()
    for name, tensor in session.net.snapshot().items():
        assert torch.equal(stopped.net.snapshot()[name], tensor), name


def test_the_judges_loss_is_that_of_slow_loops(parent: LearningState) -> None:
    held_out = [
        dataclasses.replace(one, weights=tuple(1.0 + n % 3 for n in range(one.num_targets)))
        for one in samples(parent, flipped=True, first=20)
    ]
    expected = losses(parent, held_out, 1)[0]
    state, _ = run(parent, [], epochs=1)
    of = (state.items.rows, state.users.rows)
    found = Stopping(Session(state, 4, "cpu"), SampleSet.of(held_out, *of), 1, 4).loss()
    assert found == pytest.approx(expected, rel=1e-5)


def test_judged_and_never_stopped_it_is_what_it_was(parent: LearningState) -> None:
    """Judging draws nothing and moves nothing: with the last pass the best, to the bit."""
    held_out = samples(parent, flipped=True)  # what is trained on
    judged, report = run(parent, held_out, patience=5)
    assert (report.passes, report.kept_pass, report.stopped_early) == (5, 5, False)
    plain, without = run(parent, [], patience=0)
    assert same(judged, plain)
    assert report == without


def test_what_gets_worse_at_once_stops_at_once(parent: LearningState) -> None:
    held_out = samples(parent, flipped=False, first=20)
    _, report = run(parent, held_out, patience=1, epochs=20, learning_rate=0.02)
    assert (report.passes, report.kept_pass, report.stopped_early) == (2, 1, True)
    assert report.positions == 2 * sum(s.num_targets for s in samples(parent, flipped=True))


def test_a_window_is_judged_by_its_hold_out_and_without_one_by_some_users() -> None:
    patient = dataclasses.replace(CONFIG, patience=1)
    window = checkerboard()[:240]
    keys = {e.user_id: e.user_key for e in window}
    made = LearningState.initial(patient).memory.histories.samples(window)
    for share in (0.0, 0.3):
        config = dataclasses.replace(patient, holdout_share=share)
        split = divided(made, keys, 3, config)
        candidate = learn_window(LearningState.initial(config), window, seed=3, draw=())
        assert list(candidate.state.memory.pending) == split.holdout
        assert split.holdout
        assert {s.user_id for s in split.holdout}.isdisjoint(
            s.user_id for s in candidate.admitted
        ), "never trained on in that update"
        assert len(split.train) + len(split.holdout) == len(made)
    assert not divided(made, keys, 3, CONFIG).holdout, "without patience nobody waits"
    alone = LearningState.initial(patient)
    lone = learn_window(alone, [event("u", "a", 0), event("u", "b", 1)], seed=0, draw=())
    assert (len(lone.admitted), lone.report.stopped_early) == (1, False)


def test_who_waits_follows_from_key_and_seed_alone() -> None:
    made = [Sample(f"u{n}", ("a",), 1, ("c",), (1.0,), n, n) for n in range(60)]
    keys = {s.user_id: key(s.user_id) for s in made}
    first = set_aside(made, keys, 1)
    assert len(first) == 6
    assert set_aside(made[::-1], keys, 1) == first != set_aside(made, keys, 2)


def test_a_full_retrain_is_judged_by_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[Sample]] = []

    def spy(state: LearningState, new: list[Sample], drawn: object, **given: object) -> object:
        seen.append(list(given["held_out"]))  # type: ignore[call-overload]
        assert {s.key for s in seen[-1]}.isdisjoint(s.key for s in new)
        return update(state, new, (), **given)  # type: ignore[arg-type]

    monkeypatch.setattr("models.continual.full.update", spy)
    for share in (0.2, 0.0):
        config = dataclasses.replace(CONFIG, patience=1, full_epochs=2, holdout_share=share)
        start = learned(LearningState.initial(config), checkerboard()[:240])
        bare = dataclasses.replace(start, memory=dataclasses.replace(start.memory, pending=()))
        begun = start if share else bare
        retrained = learn_archive(begun, checkerboard()[:240], seed=5)
        assert list(retrained.memory.pending) == seen[-1]
        assert len(seen[-1]) > 0
        if share:
            assert retrained.memory is start.memory
