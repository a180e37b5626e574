"""Test-then-train in stretches of a period: what is known, asked and learned when."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest

from models.evaluation.arm import Arm, ArmKind, ArmSetup
from models.evaluation.asking import ask
from models.evaluation.noise import KINDS, Noise, noisy
from models.evaluation.periods import EVERY
from models.evaluation.popularity import Popularity, RecentPopularity
from models.evaluation.protocol import ArmRun, evaluate
from models.evaluation.questions import Asked
from models.evaluation.report import report
from models.evaluation.sightings import Sightings
from models.evaluation.stream import Columns, Slice, Stream
from tests.models.evaluation.streams import Line, cycles, stream_of
from tests.models.evaluation.test_protocol import Diary


class Observing(Diary):
    def observe(self, stretch: Slice) -> None:
        self.pages.append(f"observe {stretch.start}-{stretch.stop}")


def _run(stream: Stream, arm: Arm, weights_windows: int | None = None) -> ArmRun:
    clock = count()
    kind = ArmKind("arm", "", lambda _: arm)
    setup = ArmSetup(weights_windows=weights_windows)
    done = evaluate(stream, [kind], setup, clock=lambda: float(next(clock)))
    assert done.runs["arm"].error is None
    return done.runs["arm"]


def _random(micro_windows: int, probe_share: float = 0.0) -> Stream:
    draw = np.random.default_rng(3)
    columns = Columns([], [], [], [], [], [])
    for second in range(600):
        item = int(draw.integers(1 + second // 20))
        columns.append(f"u{draw.integers(30)}", f"i{item}", time_ms=second, type="ab"[item % 2])
    return Stream(columns, num_periods=4, probe_share=probe_share, micro_windows=micro_windows)


def test_each_stretch_is_asked_then_observed_and_a_group_of_them_is_an_update() -> None:
    diary = Observing()
    run = _run(cycles(users=5, steps=40, micro_windows=4), diary, weights_windows=2)

    assert diary.pages[:13] == [
        "fit 0-120",
        "asked", "observe 120-125",
        "asked", "observe 125-130", "update 120-130",
        "asked", "observe 130-135",
        "asked", "observe 135-140", "update 130-140",
        "asked", "observe 140-145",
    ]  # fmt: skip
    assert diary.pages[-1] == "update 190-200", "the last period is learned whole"
    assert len(run.ranks) == len(run.update_s) == len(run.answer_s) == 4
    assert run.answer_s == [4.0] * 4
    assert run.update_s == [4.0] * 4


@pytest.mark.parametrize(("weights_windows", "updates"), [(None, 6), (6, 6), (3, 3), (1, 1)])
def test_weights_are_learned_so_often_in_each_period(
    weights_windows: int | None, updates: int
) -> None:
    diary = Observing()
    _run(_random(6), diary, weights_windows)

    assert sum(page.startswith("update") for page in diary.pages) == 4 * updates
    assert sum(page.startswith("observe") for page in diary.pages) == 4 * 6


@pytest.mark.parametrize("weights_windows", [4, 0, 12])
def test_updates_that_do_not_divide_the_stretches_are_refused(weights_windows: int) -> None:
    with pytest.raises(ValueError, match="weights-windows: must divide"):
        _run(_random(6), Diary(), weights_windows)


def test_stretches_are_of_equal_count_and_cut_no_instant_in_two() -> None:
    even = _random(6)
    assert [len(stretch) for stretch in even.stretches(2)] == [10] * 6
    assert even.bounds.tolist() == _random(1).bounds.tolist()

    pairs: list[Line] = [("u", f"i{n}", n // 2, n // 30) for n in range(60)]
    stream = stream_of(pairs, micro_windows=4)
    assert [len(stretch) for stretch in stream.stretches(1)] == [8, 8, 6, 8]
    assert [len(group) for group in stream.stretches(1, 2)] == [16, 14]
    with pytest.raises(ValueError, match="period 1 has too few events at different times for 16"):
        stream_of(pairs, micro_windows=16)


def test_every_instant_can_be_a_stretch_of_its_own_whatever_periods_have_of_them() -> None:
    lines: list[Line] = [("u", f"i{n}", n // 2, int(n >= 10) + int(n >= 20)) for n in range(24)]
    stream = stream_of(lines, micro_windows=EVERY)

    assert [len(stretch) for stretch in stream.stretches(1)] == [2] * 5
    assert [len(stretch) for stretch in stream.stretches(2)] == [2] * 2
    assert [len(group) for group in stream.stretches(2, 1)] == [4]
    assert stream.bounds.tolist() == stream_of(lines).bounds.tolist()

    diary = Observing()
    _run(stream, diary, weights_windows=1)
    assert sum(page.startswith("observe") for page in diary.pages) == 7
    assert sum(page.startswith("update") for page in diary.pages) == 2


def test_known_is_what_was_seen_before_the_stretch() -> None:
    lines: list[Line] = [
        ("u", "a", 1, 0),
        ("u", "b", 2, 0),
        ("v", "a", 3, 1), ("v", "c", 4, 1),  # stretch one: v and c are new
        ("v", "c", 5, 1), ("w", "c", 6, 1),  # stretch two: they are not, w is
        ("v", "a", 7, 2), ("u", "b", 8, 2),
        ("v", "c", 9, 2), ("u", "b", 10, 2),
        ("v", "a", 11, 3), ("u", "b", 12, 3),
        ("v", "b", 13, 3), ("u", "c", 14, 3),
        ("v", "c", 15, 4), ("u", "c", 16, 4),
        ("v", "c", 17, 4), ("u", "d", 18, 4),
        ("u", "a", 19, 5), ("u", "b", 20, 5),
        ("u", "b", 21, 5), ("v", "a", 22, 5),
        ("u", "a", 23, 6), ("u", "b", 24, 6),
        ("u", "a", 25, 6), ("v", "b", 26, 6),
        ("u", "d", 27, 7), ("u", "c", 28, 7),  # of period 4: not seen for two periods
        ("u", "d", 29, 7), ("u", "c", 30, 7),  # seen in this one
    ]  # fmt: skip
    stream = stream_of(lines, micro_windows=2)
    one, two = (ask(stretch)[1] for stretch in stream.stretches(1))

    assert (one.known.tolist(), two.known.tolist()) == ([True, False], [True, True])
    assert (one.new_user.tolist(), two.new_user.tolist()) == ([True, True], [False, True])
    assert two.item_events.tolist() == [1, 1]
    assert two.user_events.tolist() == [2, 0]
    assert two.ader.tolist() == [False, False], "what was met in this period was not learned from"
    last = [ask(stretch)[1].returning.tolist() for stretch in stream.stretches(7)]
    assert last == [[True, True], [False, False]]


@pytest.mark.parametrize("probes", [False, True])
def test_stretches_joined_ask_for_the_same_as_their_period(probes: bool) -> None:
    stream = _random(6, probe_share=0.3)
    whole = ask(stream.slice(3), probes=probes)[1]
    parts = [ask(stretch, probes=probes) for stretch in stream.stretches(3)]
    joined = Asked.joined([targets for _, targets in parts])

    for name in ("user", "target", "user_events", "ader"):
        assert np.array_equal(getattr(joined, name), getattr(whole, name))
    assert (joined.item_events >= whole.item_events).all()
    assert (joined.item_events > whole.item_events).any()
    numbers = np.unique(joined.question)
    assert len(numbers) == sum(len(questions) for questions, _ in parts)
    assert np.array_equal(numbers, np.arange(len(numbers)))


def test_sightings_agree_with_counting_from_the_start() -> None:
    draw = np.random.default_rng(0)
    item, learnable = draw.integers(9, size=300), draw.random(300) < 0.7
    sightings = Sightings(item, learnable)
    items = np.arange(11)  # two that never come
    for row in (0, 1, 40, 299, 300):
        before = np.arange(300) < row
        counts = [int((before & learnable & (item == one)).sum()) for one in items]
        latest = [int(max(np.flatnonzero(before & (item == one)), default=-1)) for one in items]
        assert sightings.learnable(items, row).tolist() == counts
        assert sightings.latest(items, row).tolist() == latest


def test_what_is_learned_within_a_period_is_used_within_it() -> None:
    """A new item is all that a period takes: whoever counts by the stretch soon knows it."""
    lines: list[Line] = [(f"u{n}", f"old{n % 30}", n, 0) for n in range(60)]
    lines += [(f"u{n}", "new", 100 + n, 1) for n in range(20)]

    def recall(micro_windows: int, weights_windows: int) -> float:
        stream = stream_of(lines, micro_windows=micro_windows)
        run = _run(stream, RecentPopularity(), weights_windows)
        return float(np.isfinite(run.ranks[0]).mean())

    assert recall(1, 1) == 0.0
    assert recall(2, 2) == 0.5
    assert recall(10, 10) == 0.9
    assert recall(10, 2) == 0.5
    assert recall(10, 1) == 0.0, "known, and not learned"


def test_figures_are_told_by_period() -> None:
    clock = count()
    kinds = [ArmKind("popularity", "", lambda _: Popularity())]
    figures = report(
        [evaluate(_random(6, 0.2), kinds, ArmSetup(), clock=lambda: float(next(clock)))]
    )

    assert [period["targets"] for period in figures["periods"]] == [60] * 4
    assert len(figures["arms"]["popularity"]["per_period"]["recall@20"]) == 4
    assert np.shape(figures["arms"]["popularity"]["continual"]["matrix"]) == (5, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_noisy_stream_is_cut_at_the_same_times(kind: str) -> None:
    clean = _random(6)
    spoilt = noisy(clean, Noise(kind, 0.3), seed=1)
    for period in range(1, 5):
        for mine, plain in zip(spoilt.stretches(period), clean.stretches(period), strict=True):
            times = spoilt.time_ms[mine.start : mine.stop]
            assert set(times) == set(clean.time_ms[plain.start : plain.stop])
