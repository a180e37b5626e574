"""Samples out of a stream, and batches out of samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.batches import SampleSet
from models.interactions import MOST_SKIPPED, Event, Histories, Sample
from models.vocabulary import Vocabulary
from tests.models.tastes import event


def stream(*pairs: str) -> list[Event]:
    """Events written as "user:item"."""
    apart = [pair.split(":") for pair in pairs]
    return [event(user_id, item_id, n) for n, (user_id, item_id) in enumerate(apart)]


def test_every_positive_event_is_a_target_and_sees_what_came_before() -> None:
    histories = Histories(10)
    histories.extend(stream("u:a", "u:b"))
    fresh = [*stream("u:c", "v:a"), event("u", "x", 7, weight=0.0), event("u", "d", 8, weight=2.0)]

    first, second = histories.samples(fresh)

    assert first.item_ids == ("a", "b", "c", "d")
    assert (first.num_targets, first.weights) == (2, (1.0, 2.0))
    assert first.key == fresh[-1].key
    assert first.time_ms == 8_000
    assert (second.user_id, second.item_ids, second.num_targets) == ("v", ("a",), 1)


def test_copies_do_not_share_what_is_extended() -> None:
    parent = Histories(2)
    parent.extend(stream("u:a", "u:b"))
    child = parent.copy()
    child.extend(stream("u:c", "v:a"))
    assert parent["u"] == ("a", "b")
    assert child["u"] == ("b", "c")
    assert len(parent) == 1


@given(
    size=st.integers(1, 9),
    past=st.integers(0, 12),
    fresh=st.integers(1, 40),
)
def test_stretches_cover_each_event_once_with_context(size: int, past: int, fresh: int) -> None:
    histories = Histories(size)
    histories.extend(event("u", f"p{n}", n) for n in range(past))
    samples = histories.samples([event("u", f"n{n}", n) for n in range(fresh)])

    targets = [item for s in samples for item in s.item_ids[-s.num_targets :]]
    assert targets == [f"n{n}" for n in range(fresh)]
    everything = [f"p{n}" for n in range(past)] + targets
    for sample in samples:
        assert len(sample.item_ids) <= size
        at = everything.index(sample.item_ids[0])
        assert list(sample.item_ids) == everything[at : at + len(sample.item_ids)]
    for sample in samples[1:]:
        assert len(sample.item_ids) - sample.num_targets >= min(size // 4, 1)


def sample(user: str, items: str, targets: int) -> Sample:
    types, weights = ("click",) * targets, tuple(1.0 + n for n in range(targets))
    return Sample(user, tuple(items), targets, types, weights, key=1, time_ms=0)


def looked_up(*samples: Sample) -> SampleSet:
    items, users = Vocabulary("abcdefgh"), Vocabulary("uv")
    return SampleSet.of(samples, items.rows, users.rows)


def test_a_batch_opens_with_start_and_aligns_targets_with_what_they_follow() -> None:
    found = looked_up(sample("u", "abc", 2), sample("x", "hz", 2))
    batch = found.batch(np.asarray([0, 1]))
    assert batch.user_idx.tolist() == [0, -1]
    assert batch.inputs.tolist() == [[-1, 0, 1], [-1, 7, -1]]
    assert batch.targets.tolist() == [[-1, 1, 2], [7, -1, -1]]
    assert batch.weights.tolist() == [[0.0, 1.0, 2.0], [1.0, 2.0, 0.0]]
    assert batch.num_targets == 3


def test_batches_hold_each_sample_once_and_are_the_generators() -> None:
    found = looked_up(*(sample("u", "abcdefgh"[: 1 + n % 5], 1) for n in range(23)))
    orders = [found.order(4, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    for order in orders:
        assert sorted(np.concatenate(order).tolist()) == list(range(23))
        assert len(order) == 6
    as_lists = [[chunk.tolist() for chunk in order] for order in orders]
    assert as_lists[0] == as_lists[1] != as_lists[2]


def test_batches_are_of_like_length() -> None:
    found = looked_up(*(sample("u", "abcdefgh"[: 1 + n % 8], 1) for n in range(64)))
    for batch in found.batches(8, np.random.default_rng(0)):
        assert len(set((batch.inputs >= 0).sum(1).tolist())) == 1


def test_every_target_counts_the_same_whatever_the_length_of_its_sample() -> None:
    short = [sample("u", "ab", 2) for _ in range(400)]
    long = [sample("u", "abcdefgh", 8) for _ in range(100)]
    batches = list(looked_up(*short, *long).batches(20, np.random.default_rng(0)))
    assert len(batches) == 25
    assert {batch.num_targets for batch in batches} == {64}


def test_looking_ahead_takes_later_targets_of_the_same_line() -> None:
    found = looked_up(*(sample("u", "abcdefgh", 6) for _ in range(200)))
    batch = found.batch(np.arange(200))
    ahead = batch.looking_ahead(0.5, np.random.default_rng(0))
    moved = ahead.targets != batch.targets
    assert 0.3 < float(moved[:, 2:].float().mean()) < 0.5
    assert bool((ahead.targets >= batch.targets).all())
    assert not moved[:, :2].any()
    assert not moved[:, -1].any()
    assert batch.looking_ahead(0.0, np.random.default_rng(0)) is batch


@pytest.mark.parametrize(("items", "targets"), [("ab", 3), ("ab", 0), ("", 1)])
def test_a_sample_has_a_target_and_no_more_than_items(items: str, targets: int) -> None:
    with pytest.raises(ValueError, match="num_targets"):
        sample("u", items, targets)


def test_types_belong_to_targets() -> None:
    with pytest.raises(ValueError, match="one for each target"):
        Sample("u", ("a",), 1, (), (1.0,), 1, 0)


def told(*words: str) -> list[Event]:
    """Events of one user, written as the item, after "-" where it was skipped."""
    events = [event("u", word.strip("-"), n) for n, word in enumerate(words)]
    return [
        replace(one, weight=0.0, skip=True) if word.startswith("-") else one
        for one, word in zip(events, words, strict=True)
    ]


def skipped_by(*words: str, size: int = 4) -> list[tuple[str, ...]]:
    return [sample.skipped for sample in Histories(size).samples(told(*words))]


def test_a_skip_goes_with_the_event_after_it_or_the_last_one() -> None:
    assert skipped_by("-x", "a", "-y", "b", "-z") == [("x", "y", "z")]
    words = "a b c d -x e f -y g -z".split()
    assert skipped_by(*words) == [(), ("x", "y", "z")]
    assert skipped_by(*"a b -x c -y d e -z f".split()) == [("x", "y"), ("z",)]
    assert skipped_by("-x", "-y") == []


def test_of_skips_the_latest_words_count() -> None:
    """Taken after all, it is no skip; said twice, it is one; of many, the latest are remembered."""
    assert skipped_by("-a", "b", "a") == [()]
    assert skipped_by("a", "b", "-a") == [("a",)]
    assert skipped_by("-x", "-y", "-x", "a") == [("y", "x")]
    many = [f"-{n}" for n in range(20)]
    assert skipped_by(*many, "a") == [tuple(map(str, range(20 - MOST_SKIPPED, 20)))]


def test_a_weight_of_0_alone_is_no_skip_and_a_skip_no_history() -> None:
    histories = Histories(4)
    shown = [event("u", "x", 0, weight=0.0), event("u", "a", 1)]
    assert [sample.skipped for sample in histories.samples(shown)] == [()]
    histories.extend(told("-x", "a", "-y"))
    assert histories["u"] == ("a",)
    histories.extend([replace(one, user_id="v") for one in told("-x")])
    assert list(histories.users()) == ["u"]


def test_a_batch_has_a_line_of_what_was_skipped() -> None:
    one, other = replace(sample("u", "ab", 1), skipped=("c", "?")), sample("v", "abc", 2)
    found = looked_up(one, other, replace(other, skipped=("h",)))
    batch = found.batch(np.asarray([2, 0, 1]))
    assert batch.skipped is not None
    assert batch.skipped.tolist() == [[7, -1], [2, -1], [-1, -1]]
    for changed in (batch.until(2), batch.looking_ahead(1.0, np.random.default_rng(0))):
        assert changed.skipped is batch.skipped
    assert looked_up(other).batch(np.asarray([0])).skipped is None
    assert looked_up(replace(other, skipped=("?",))).skipped is None
