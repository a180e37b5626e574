"""What every replay buffer promises, in memory and in Redis: the same samples, the same bounds."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from models.continual.buffer import BottomK, Buffer, sample_bytes
from models.interactions import Sample
from service.storage.keys import Keys
from service.storage.replay import ReplayBuffer
from service.storage.samples import pack, unpack
from tests.models.tastes import key

Make = Callable[[int, int], Buffer]
"""A new empty buffer of so many samples and bytes."""


def sample(n: int, items: int = 1, prefix: str = "") -> Sample:
    return Sample(
        f"u{n}", (f"i{n % 10}",) * items, 1, ("click",), (1.0,), key(f"{prefix}{n}"), 10**12 + n
    )


def mixed(count: int, prefix: str = "") -> list[Sample]:
    """Samples of which every fifth is long, from about 40 to 130 bytes."""
    return [sample(n, 30 if n % 5 == 0 else 1 + n % 3, prefix) for n in range(count)]


def by_slow_loops(offered: list[Sample], size: int, max_bytes: int) -> list[Sample]:
    """The rule word by word, over everything that was ever offered."""
    fitting = [one for one in offered if not 0 < max_bytes < len(pack(one))]
    largest = max((len(pack(one)) for one in fitting), default=0)
    kept: list[Sample] = []
    for one in sorted(set(fitting), key=lambda one: one.key):
        before = sum(len(pack(other)) for other in kept)
        if len(kept) == size or (max_bytes and before > max_bytes - largest):
            break
        kept.append(one)
    return kept


def everything(buffer: Buffer) -> list[Sample]:
    return sorted(buffer.draw(10**6, 0), key=lambda one: one.key)


@pytest.fixture(params=["memory", "redis"])
def make(request: pytest.FixtureRequest) -> Make:
    if request.param == "memory":
        return BottomK
    client: redis.Redis = request.getfixturevalue("redis_client")
    namespace: Keys = request.getfixturevalue("keys")
    made: list[ReplayBuffer] = []

    def another(size: int, max_bytes: int) -> ReplayBuffer:
        keys = Keys(f"{namespace.namespace}-{len(made)}")
        made.append(ReplayBuffer(client, keys, size, max_bytes))
        return made[-1]

    return another


BOUNDS = [(1_000, 0), (20, 0), (1_000, 700), (12, 700), (1_000, 129), (0, 700), (1_000, 20)]
each_bound = pytest.mark.parametrize(("size", "max_bytes"), BOUNDS)


@each_bound
def test_kept_is_what_the_rule_says(make: Make, size: int, max_bytes: int) -> None:
    offered, buffer = mixed(100), make(size, max_bytes)
    for at in range(0, 100, 17):
        buffer.admit(offered[at : at + 17])
    expected = by_slow_loops(offered, size, max_bytes)
    assert everything(buffer) == expected
    assert len(buffer) == len(expected)
    assert buffer.stored_bytes() == sum(len(pack(one)) for one in expected)
    assert (buffer.size, buffer.max_bytes) == (size, max_bytes)


@each_bound
def test_order_repeats_and_parts_do_not_matter(make: Make, size: int, max_bytes: int) -> None:
    """A short sample behind one that was let go of would fit, and is not taken."""
    offered, expected = mixed(60), by_slow_loops(mixed(60), size, max_bytes)
    for seed in range(6):
        shuffled = offered.copy()
        random.Random(seed).shuffle(shuffled)
        buffer = make(size, max_bytes)
        for at in range(0, 60, 7):
            buffer.admit(shuffled[at : at + 7])
            buffer.admit(shuffled[max(0, at - 3) : at + 1])
        assert everything(buffer) == expected


def test_the_bytes_are_never_exceeded_and_nearly_used(make: Make) -> None:
    buffer = make(10_000, 2_000)
    for at, part in enumerate(np.array_split(np.arange(300), 10)):
        buffer.admit([mixed(300)[n] for n in part], window_id=at)
        assert buffer.stored_bytes() <= 2_000
    assert buffer.stored_bytes() > 2_000 - 2 * max(map(sample_bytes, mixed(300)))


def test_a_sample_as_large_as_the_budget_is_kept_and_a_larger_one_is_nothing(make: Make) -> None:
    one = sample(1, 20)
    exact, short = make(10, sample_bytes(one)), make(10, sample_bytes(one) - 1)
    for buffer in (exact, short):
        buffer.admit([one])
    assert everything(exact) == [one]
    assert len(short) == 0
    short.admit([sample(2)])
    assert everything(short) == [sample(2)], "what does not fit at all takes no room from others"


LONG = 100


def streams(repeats: int) -> list[list[Sample]]:
    """Streams of which a fifth is eight times as long as the rest, each with other keys."""
    return [
        [sample(n, LONG if n % 5 == 0 else 1, f"{repeat}/") for n in range(120)]
        for repeat in range(repeats)
    ]


def p_value(kept: list[Sample]) -> float:
    """Of the kept being a fifth long."""
    long = sum(len(one.item_ids) == LONG for one in kept)
    return float(stats.binomtest(long, len(kept), 0.2).pvalue)


def test_long_samples_have_the_chances_of_short_ones(make: Make) -> None:
    kept: list[Sample] = []
    for stream in streams(150):
        buffer = make(10_000, 1_000)
        buffer.admit(stream)
        kept += everything(buffer)
    assert len(kept) > 600
    assert p_value(kept) > 0.01


def test_to_keep_whatever_fits_would_prefer_the_short() -> None:
    """The same look sees the rule that the buffers stand against."""
    kept: list[Sample] = []
    for stream in streams(150):
        room = 1_000
        for one in sorted(stream, key=lambda one: one.key):
            room -= sample_bytes(one)
            if room < 0:
                break
            kept.append(one)
    assert p_value(kept) < 1e-4


@settings(max_examples=50)
@given(
    st.text(max_size=40),
    st.lists(st.text(max_size=40), min_size=1, max_size=40),
    st.integers(0, 2**64 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.lists(st.text(max_size=40), max_size=20),
)
def test_a_byte_is_a_byte_of_the_stored_encoding(
    user: str, items: list[str], number: int, time_ms: int, weight: float, skipped: list[str]
) -> None:
    count = (len(items) + 1) // 2
    types, weights = tuple(items[:count]), (weight,) * count
    one = Sample(user, tuple(items), count, types, weights, number, time_ms, skipped=tuple(skipped))
    assert sample_bytes(one) == len(pack(one))
    assert unpack(pack(one)) == one


@pytest.mark.parametrize("length", [15, 16, 31, 32, 255, 256, 65_535, 65_536])
def test_a_byte_is_one_at_every_step_of_the_encoding(length: int) -> None:
    for one in (sample(0, length), Sample("u" * length, ("",), 1, ("",), (0.0,), length, -length)):
        assert sample_bytes(one) == len(pack(one))
