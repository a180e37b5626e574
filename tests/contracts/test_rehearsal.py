"""What every rehearsal buffer in memory promises: a bounded uniform sample, drawn by a seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from models.config import LearningConfig
from models.continual.buffer import BottomK
from models.continual.replay import draw_size
from models.interactions import Sample
from tests.models.tastes import event, key


def samples(n: int, prefix: str = "") -> list[Sample]:
    return [
        Sample("u", (f"i{i}",), 1, ("click",), (1.0,), key(f"{prefix}{i}"), i) for i in range(n)
    ]


def everything(buffer: BottomK) -> list[int]:
    return [sample.key for sample in buffer.draw(10**6, 0)]


def test_keeps_the_lowest_keys() -> None:
    buffer, many = BottomK(10), samples(100)
    buffer.admit(many)
    assert sorted(everything(buffer)) == sorted(sample.key for sample in many)[:10]


@given(st.lists(st.integers(0, 59), max_size=80), st.integers(0, 7))
def test_order_repetition_and_cutting_do_not_matter(order: list[int], cut: int) -> None:
    many = samples(60)
    at_once, by_parts = BottomK(10), BottomK(10)
    at_once.admit([many[i] for i in sorted(set(order))])
    for at in range(0, len(order), cut + 1):
        by_parts.admit([many[i] for i in order[at : at + cut + 1]])
    assert sorted(everything(at_once)) == sorted(everything(by_parts))


def test_buffers_merge() -> None:
    many = samples(100)
    left, right, whole = BottomK(10), BottomK(10), BottomK(10)
    left.admit(many[:50])
    right.admit(many[50:])
    whole.admit(many)
    left.admit(right.draw(10, 0))
    assert sorted(everything(left)) == sorted(everything(whole))


def test_the_sample_is_uniform_over_the_stream() -> None:
    """χ² over tenths of the stream, 200 buffers."""
    counts = np.zeros(10)
    for repeat in range(200):
        buffer = BottomK(20)
        buffer.admit(samples(400, prefix=f"{repeat}/"))
        for sample in buffer.draw(20, repeat):
            counts[sample.time_ms // 40] += 1
    assert stats.chisquare(counts).pvalue > 1e-3


def test_a_draw_is_the_seeds_without_replacement() -> None:
    buffer = BottomK(50)
    buffer.admit(samples(100))
    first, again, other = (buffer.draw(20, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert len({sample.key for sample in first}) == 20
    ordered = sorted(everything(buffer))
    chosen = np.random.default_rng(1).choice(50, size=20, replace=False)
    assert [sample.key for sample in first] == [ordered[place] for place in chosen]


def test_draws_are_uniform_over_the_buffer() -> None:
    buffer = BottomK(20)
    buffer.admit(samples(20))
    counts = dict.fromkeys(everything(buffer), 0)
    for seed in range(500):
        for sample in buffer.draw(4, seed):
            counts[sample.key] += 1
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


@pytest.mark.parametrize("n", [0, -1])
def test_nothing_asked_nothing_drawn(n: int) -> None:
    buffer = BottomK(5)
    buffer.admit(samples(5))
    assert buffer.draw(n, 0) == []


def test_a_buffer_of_no_size_keeps_nothing() -> None:
    buffer = BottomK(0)
    buffer.admit(samples(5))
    assert len(buffer) == 0
    with pytest.raises(ValueError, match="size"):
        BottomK(-1)


def test_as_many_are_drawn_as_there_are_new_samples() -> None:
    config = LearningConfig(max_history=8, replay_ratio=0.5)
    events = [event("a", f"i{n}", n) for n in range(13)]  # 6 targets beside 2 of context: 3 samples
    events += [event("b", "i", 20), event("c", "i", 21), event("d", "i", 22, weight=0.0)]
    assert draw_size(config, events) == 3  # half of 5, rounded up
    assert draw_size(LearningConfig(methods=("ewc",)), events) == 0
