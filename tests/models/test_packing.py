"""Rows of the fast memory as bytes: to the bit, under other bounds, and never what is no row."""

from __future__ import annotations

import numpy as np
import pytest

from models.memory.config import MemoryConfig
from models.memory.memory import FastMemory
from models.memory.packing import pack_item, pack_session, put_items, put_sessions
from models.sources import SOURCES, Question
from tests.models.test_fast_memory import CONFIG, NUM_ITEMS, row_of, shown, stream


def items_of(memory: FastMemory) -> dict[int, bytes]:
    return {row: pack_item(memory, row) for row in range(memory.num_items)}


def sessions_of(memory: FastMemory) -> dict[int, bytes]:
    return {slot: pack_session(memory, slot) for slot in memory.sessions.slots.values()}


def together(config: MemoryConfig, memory: FastMemory) -> FastMemory:
    """The memory put together again from its rows, which come in any order."""
    twin = FastMemory(config)
    twin.grow(memory.num_items)
    put_items(twin, dict(reversed(items_of(memory).items())))
    put_sessions(twin, dict(sorted(sessions_of(memory).items())))
    return twin


def test_rows_make_the_same_memory_to_the_bit_which_goes_on_alike() -> None:
    config = MemoryConfig(width=10, sessions=30, session_length=8, reach=3)
    memory = shown(config, stream(1), 100)
    twin = together(config, memory)
    for _ in range(2):
        assert items_of(twin) == items_of(memory)
        assert sessions_of(twin) == sessions_of(memory)
        assert list(twin.sessions.slots.items()) == list(memory.sessions.slots.items())
        more = stream(2, users=90)
        memory.observe(more)
        twin.observe(more)


def test_sources_answer_alike_from_rows_put_together() -> None:
    memory = shown(CONFIG, stream(3), 100)
    twin = together(CONFIG, memory)
    question = Question(np.array([3, 7]), np.array([1.0, 2.0]), 5 * 3_600.0)
    for name, source in SOURCES.items():
        ours, theirs = source.propose(memory, question), source.propose(twin, question)
        assert np.array_equal(ours.items, theirs.items), name
        assert np.array_equal(ours.scores, theirs.scores), name


def test_a_row_written_over_another_leaves_nothing_of_it() -> None:
    memory = shown(CONFIG, stream(4), 100)
    twin = together(CONFIG, shown(CONFIG, stream(5), 100))
    put_items(twin, items_of(memory))
    put_sessions(twin, sessions_of(memory))
    assert items_of(twin) == items_of(memory)
    assert sessions_of(twin) == sessions_of(memory)
    assert twin.sessions.slots == memory.sessions.slots


def test_smaller_bounds_keep_the_strongest_and_the_latest() -> None:
    memory = shown(CONFIG, stream(6), 100)
    smaller = MemoryConfig(width=4, sessions=10, session_length=3, reach=3)
    twin = together(smaller, memory)
    for row in range(NUM_ITEMS):
        strongest = list(row_of(memory.covisits, row).items())[:4]
        assert list(row_of(twin.covisits, row).items()) == strongest
    latest = list(memory.sessions.slots)[-10:]
    assert list(twin.sessions.slots) == latest
    for key in latest:
        items, times = memory.sessions.events(memory.sessions.slots[key])
        found = twin.sessions.events(twin.sessions.slots[key])
        assert found[0].tolist() == items[-3:].tolist()
        assert found[1].tolist() == times[-3:].tolist()
    twin.observe(stream(7))


def test_what_an_item_and_a_session_cost_is_what_is_written() -> None:
    memory = FastMemory(MemoryConfig())
    memory.grow(200)
    pairs = np.arange(1, 151)
    for graph in (memory.covisits, memory.rules):
        graph.add(np.zeros(150, dtype=np.int64), pairs, pairs.astype(float), np.zeros(150))
    assert len(pack_item(memory, 0)) == 1_660
    memory = shown(MemoryConfig(), stream(8, users=1), 100)
    assert len(pack_session(memory, 0)) == 20 + 12 * 50


@pytest.mark.parametrize("harm", ["short", "long", "empty", "neighbour", "nan"])
def test_what_is_no_row_is_refused(harm: str) -> None:
    memory = shown(CONFIG, stream(9), 100)
    item, session = pack_item(memory, 1), pack_session(memory, 1)
    harmed = {
        "short": (item[:-1], session[:-1]),
        "long": (item + b"0", session + b"0"),
        "empty": (b"", b""),
        "neighbour": (
            item[:60] + b"\xff\xff\xff\x7f" + item[64:],
            session[:20] + b"\xff" * 4 + session[24:],
        ),
        "nan": (b"\xff" * 8 + item[8:], session[:8] + b"\0" * 8 + session[16:]),
    }[harm]
    with pytest.raises(ValueError, match=r"item|session"):
        put_items(memory, {1: harmed[0]})
    with pytest.raises(ValueError, match=r"item|session"):
        put_sessions(memory, {1: harmed[1]})
