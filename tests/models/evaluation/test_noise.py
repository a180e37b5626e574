"""Noise: as much as was asked for, where it may be, and not in what is asked."""

from __future__ import annotations

import numpy as np
import pytest

from models.config import LearningConfig
from models.evaluation.arm import ArmSetup
from models.evaluation.arms import named
from models.evaluation.asking import ask
from models.evaluation.noise import BOT_EVENTS, BOT_ITEMS, KINDS, Noise, noisy
from models.evaluation.protocol import Evaluation, evaluate
from models.evaluation.stream import Columns, Stream

PERIODS = 4


def walks(users: int = 30, steps: int = 60, items: int = 20, probes: float = 0.2) -> Stream:
    """Every user walks round the items, which come into stock one after the other."""
    columns = Columns([], [], [], [], [], [])
    for step in range(steps):
        for user in range(users):
            place = (user + step) % min(items, step + 2)
            columns.append(f"u{user}", f"i{place}", time_ms=step * users + user)
    return Stream(columns, num_periods=PERIODS, probe_share=probes)


@pytest.fixture(scope="module")
def clean() -> Stream:
    return walks()


def learnable(stream: Stream) -> int:
    return int((~stream.probe[stream.user]).sum())


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
def test_the_share_of_wrong_labels_is_right_and_no_probe_has_one(
    clean: Stream, share: float
) -> None:
    spoilt = noisy(clean, Noise("labels", share), seed=1)
    wrong = spoilt.item != clean.item
    assert wrong.sum() == round(share * learnable(clean))
    assert not clean.probe[clean.user[wrong]].any()
    assert (spoilt.item < clean.items_so_far).all(), "no item before its time"
    assert np.array_equal(spoilt.user, clean.user)
    assert np.array_equal(spoilt.sequence_items, spoilt.item[spoilt.sequence])


def test_wrong_labels_are_uniform_over_the_other_items() -> None:
    stream = walks(users=60, steps=200, items=5, probes=0.0)
    spoilt = noisy(stream, Noise("labels", 1.0), seed=0)
    late = stream.items_so_far == 5
    shift = (spoilt.item - stream.item)[late] % 5
    counts = np.bincount(shift, minlength=5)
    assert counts[0] == 0
    expected = counts.sum() / 4
    assert float(((counts[1:] - expected) ** 2 / expected).sum()) < 16.3  # χ²₃, .999


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
def test_duplicates_follow_their_events(clean: Stream, share: float) -> None:
    spoilt = noisy(clean, Noise("duplicates", share), seed=2)
    more = round(share * learnable(clean))
    assert len(spoilt.user) == len(clean.user) + more
    same = (spoilt.user[1:] == spoilt.user[:-1]) & (spoilt.time_ms[1:] == spoilt.time_ms[:-1])
    same &= spoilt.item[1:] == spoilt.item[:-1]
    assert same.sum() == more
    once = np.flatnonzero(np.r_[True, ~same])
    assert np.array_equal(spoilt.item[once], clean.item)
    assert not spoilt.probe[spoilt.user[1:][same]].any()


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_bots_have_thousands_of_events_on_few_items(share: float) -> None:
    stream = walks(users=100, steps=250)
    spoilt = noisy(stream, Noise("bots", share), seed=3)
    bots = spoilt.user >= len(stream.users)
    more = round(share * learnable(stream))
    assert bots.sum() == more
    assert len(spoilt.users) - len(stream.users) == -(-more // BOT_EVENTS)
    for bot in range(len(stream.users), len(spoilt.users)):
        assert len(set(spoilt.item[spoilt.user == bot])) <= BOT_ITEMS
    assert (spoilt.item < spoilt.items_so_far).all()
    assert np.array_equal(spoilt.item[~bots], stream.item)
    assert not spoilt.probe[len(stream.users) :].any()


@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    def test_it_is_the_same_again_for_the_same_seed_alone(self, clean: Stream, kind: str) -> None:
        one, again, other = (noisy(clean, Noise(kind, 0.1), seed) for seed in (5, 5, 6))
        assert np.array_equal(one.item, again.item)
        assert np.array_equal(one.user, again.user)
        assert not (np.array_equal(one.item, other.item) and np.array_equal(one.user, other.user))

    def test_the_clean_stream_and_what_is_asked_of_it_stay(self, clean: Stream, kind: str) -> None:
        before = clean.item.copy(), clean.user.copy(), clean.bounds.copy()
        fresh = walks()
        noisy(clean, Noise(kind, 0.2), seed=0)
        for old, now in zip(before, (clean.item, clean.user, clean.bounds), strict=True):
            assert np.array_equal(old, now)
        for period in range(1, PERIODS + 1):
            (mine, targets), (plain, expected) = ask(clean.slice(period)), ask(fresh.slice(period))
            assert np.array_equal(targets.target, expected.target)
            assert np.array_equal(mine.histories().items, plain.histories().items)

    def test_every_event_keeps_its_type(self, kind: str) -> None:
        """Bots and duplicates have that of the event before them."""
        columns = Columns([], [], [], [], [], [])
        for n in range(400):
            columns.append(f"u{n % 20}", f"i{n % 7}", time_ms=n, type=("click", "buy")[n % 2])
        spoilt = noisy(Stream(columns, num_periods=PERIODS), Noise(kind, 1.0), seed=1)
        assert len(spoilt.kind) == len(spoilt.user)
        assert [spoilt.type_names[one] for one in spoilt.kind] == spoilt.types
        counted = [spoilt.slice(part).type_counts() for part in range(PERIODS + 1)]
        assert sum(part["buy"] for part in counted) == spoilt.types.count("buy")

    def test_periods_hold_their_own_events(self, clean: Stream, kind: str) -> None:
        spoilt = noisy(clean, Noise(kind, 0.2), seed=0)
        for period in range(PERIODS + 1):
            own, plain = spoilt.slice(period), clean.slice(period)
            times = spoilt.time_ms[own.start : own.stop]
            assert set(times) == set(clean.time_ms[plain.start : plain.stop])
            assert own.num_items == plain.num_items
        assert spoilt.bounds[-1] == len(spoilt.user)

    def test_arms_learn_what_is_spoilt_and_are_asked_what_is_not(
        self, clean: Stream, kind: str
    ) -> None:
        plain, spoilt = run(clean, None), run(clean, Noise(kind, 0.5))
        assert not any(one.error for one in spoilt.runs.values())
        for mine, other in zip(spoilt.asked, plain.asked, strict=True):
            assert np.array_equal(mine.target, other.target)
        ranks = (spoilt.runs["network"].ranks, plain.runs["network"].ranks)
        assert any(not np.array_equal(mine, other) for mine, other in zip(*ranks, strict=True))


def run(stream: Stream, noise: Noise | None, *arms: str) -> Evaluation:
    small = LearningConfig(embedding_dim=8, epochs=1, full_epochs=1, min_steps=4, num_negatives=16)
    return evaluate(
        stream,
        named(arms or ["popularity", "markov", "vsknn", "network"]),
        ArmSetup(config=small),
        clock=lambda: 0.0,
        learned=None if noise is None else noisy(stream, noise, seed=0),
    )


def test_wrong_labels_alone_leave_a_certain_chain_nothing_to_go_by() -> None:
    stream, all_wrong = walks(probes=0.0), Noise("labels", 1.0)
    plain, spoilt = run(stream, None, "markov"), run(stream, all_wrong, "markov")
    mean = [float(np.mean(1.0 / one.runs["markov"].ranks[-1])) for one in (plain, spoilt)]
    assert mean[0] > 0.9
    assert mean[1] < 0.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("labels", "must be KIND:SHARE, such as labels:0.1"),
        ("labels:many", "must be KIND:SHARE"),
        ("gossip:0.1", "one of labels, duplicates, bots"),
        ("bots:0", r"must lie in \(0, 1\]"),
        ("bots:nan", r"must lie in \(0, 1\]"),
        ("bots:1.5", r"must lie in \(0, 1\]"),
    ],
)
def test_what_is_no_noise_is_refused_in_words(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Noise.parse(text)


def test_noise_reads_as_it_is_written() -> None:
    assert str(Noise.parse("labels:0.10")) == "labels:0.1"
