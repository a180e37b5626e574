"""What every source of candidates promises, whatever it is asked."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from models.memory.config import MemoryConfig
from models.memory.memory import FastMemory
from models.sources import SOURCES, Proposal, Question
from tests.models.crowds import (
    NOW_S,
    SMALL,
    Meeting,
    asked,
    contents,
    crowd,
    described,
    remembering,
)

BLIND = {"trending", "fast-popular", "latest"}
"""Those that say the same to everybody."""
REPEATING = {"own"}
"""Those that propose nothing but the history."""
FORESEEING = {"content"}
"""Those that propose items that never happened."""
SETLIKE = {"sets"}
"""Those to whom a history has no last one."""
ITEMS = 20
"""Of each taste."""

NARROW = MemoryConfig(
    max_items=9_000, width=20, sessions=100, session_length=30, sessions_per_item=20
)
YEAR_S = 365 * 86_400.0
World = tuple[FastMemory, Question]


def empty_memory() -> World:
    return FastMemory(SMALL), asked([])


def empty_history() -> World:
    return crowd(0, items=50), asked([])


def one_of_the_crowd() -> World:
    return crowd(1, items=50), asked([3, 7, 3, 49], user=5)


def many_items() -> World:
    """So many that sorting what was found is quicker than laying out all."""
    return crowd(2, items=9_000, config=NARROW), asked([8_999, 5])


def alone() -> World:
    """Met by one user, who met nothing else; and by one who asks."""
    told: list[Meeting] = [(1, 0, NOW_S), (2, 1, NOW_S), (2, 2, NOW_S + 1.0), (3, 3, NOW_S)]
    return remembering(told), asked([0], user=1)


def unheard_of() -> World:
    """Rows that the memory has, of items that never happened."""
    return remembering([(1, 40, NOW_S)]), asked([0, 7, 39])


def ten_thousand_events() -> World:
    told = [(1, at * 7 % 300, NOW_S + 5.0 * at) for at in range(10_000)]
    told += [(2 + at % 40, at * 11 % 300, NOW_S + 50_000.0 + at) for at in range(400)]
    history = [item for _, item, _ in told[:10_000]]
    return remembering(told), asked(history, [when for *_, when in told[:10_000]], user=1)


def a_celebrity() -> World:
    """Met by all together with something else, four million times."""
    told = [(at // 2, 0 if at % 2 else 1 + at % 997, NOW_S + at) for at in range(4_000)]
    return remembering(told, weights=[2_000.0] * len(told)), asked([0, 5, 0])


def long_ago() -> World:
    """All that there was has decayed to almost nothing, or to nothing at all."""
    told = [(at // 3, at * 5 % 60, NOW_S - 100 * YEAR_S + 60.0 * at) for at in range(300)]
    told += [(999, 61, NOW_S)]
    memory = remembering(told)
    return memory, asked([5, 10], [NOW_S - 90 * YEAR_S, NOW_S])


def faded() -> World:
    """Weights of a row that have decayed beneath what float32 can hold, beside one that has not."""
    minute = 60.0
    told: list[Meeting] = [(1, 0, 0.0), (1, 1, minute)]
    told += [(2, 0, 80 * 3_600.0), (2, 2, 80 * 3_600.0 + minute)]
    told += [(3, 9_999, 80 * 3_600.0)]
    return remembering(told), asked([0], [80 * 3_600.0 + minute])


def crowded_out() -> World:
    """More users than are kept: what an item leads to has been taken by others."""
    config = MemoryConfig(
        max_items=9_000, width=5, sessions=3, session_length=10, sessions_per_item=4
    )
    told = [(at // 2, 8_000 + at % 50, NOW_S + at) for at in range(120)]
    return remembering(told, config, at_once=2), asked([8_000, 8_001, 8_010], user=59)


WORLDS: dict[str, Callable[[], World]] = {
    world.__name__: functools.cache(world)
    for world in (
        empty_memory,
        empty_history,
        one_of_the_crowd,
        many_items,
        alone,
        unheard_of,
        ten_thousand_events,
        a_celebrity,
        long_ago,
        faded,
        crowded_out,
    )
}


def told(world: str) -> World:
    """A world whose items say something of themselves."""
    memory, question = WORLDS[world]()
    return memory, replace(question, texts=described(memory.num_items))


each_source = pytest.mark.parametrize("name", SOURCES)
each_world = pytest.mark.parametrize("world", WORLDS)


def same(a: Proposal, b: Proposal) -> bool:
    return a.items.tobytes() == b.items.tobytes() and a.scores.tobytes() == b.scores.tobytes()


@each_world
@each_source
def test_it_proposes_items_of_the_memory_once_each_ascending_with_scores(
    name: str, world: str
) -> None:
    memory, question = told(world)
    end = described(memory.num_items).end if name in FORESEEING else memory.num_items
    found = SOURCES[name].propose(memory, question)
    assert found.items.shape == found.scores.shape == (len(found),)
    assert found.items.dtype == np.int64
    assert found.scores.dtype == np.float64
    assert (np.diff(found.items) > 0).all()
    assert (found.items >= 0).all()
    assert (found.items < end).all()
    assert np.isfinite(found.scores).all()
    assert (found.scores > 0.0).all()


@each_world
@each_source
def test_asking_changes_nothing_and_asked_again_it_says_the_same(name: str, world: str) -> None:
    memory, question = told(world)
    before = contents(memory)
    history = question.items.tobytes(), question.times.tobytes()
    first = SOURCES[name].propose(memory, question)
    assert contents(memory) == before
    assert (question.items.tobytes(), question.times.tobytes()) == history
    assert same(SOURCES[name].propose(memory, question), first)


@each_source
def test_an_empty_memory_makes_it_say_nothing(name: str) -> None:
    assert not len(SOURCES[name].propose(*empty_memory()))


@pytest.mark.parametrize("name", [name for name in SOURCES if name not in BLIND])
def test_of_an_empty_history_it_knows_nothing(name: str) -> None:
    assert not len(SOURCES[name].propose(*told("empty_history")))


@each_source
@pytest.mark.parametrize("world", ["one_of_the_crowd", "ten_thousand_events", "a_celebrity"])
def test_where_there_is_something_to_say_it_says_it(name: str, world: str) -> None:
    assert len(SOURCES[name].propose(*told(world)))


@functools.cache
def checkerboard() -> FastMemory:
    """Users of even number meet items below `ITEMS`, the others those above."""
    told = [
        (user, user % 2 * ITEMS + (user // 2 + step * 7) % ITEMS, NOW_S - 600.0 + step * 10 + user)
        for step in range(8)
        for user in range(40)
    ]
    return remembering(sorted(told, key=lambda one: one[2]))


def described_as(question: Question) -> Question:
    """Items, and as many that never happened behind them, have words of their taste."""
    return replace(question, texts=described(2 * ITEMS, new=2 * ITEMS, taste=ITEMS))


@each_source
@pytest.mark.parametrize("side", [0, 1])
def test_whoever_looks_at_the_history_answers_with_its_taste(name: str, side: int) -> None:
    history = [side * ITEMS + item for item in (4, 11, 4, 18)]
    found = SOURCES[name].propose(checkerboard(), described_as(asked(history)))
    assert len(found)
    alike = found.items // ITEMS % 2 == side
    assert alike.all() == (name not in BLIND)
    assert bool(set(found.items.tolist()) - set(history)) == (name not in REPEATING)


@pytest.mark.parametrize("name", [name for name in SOURCES if name not in BLIND | SETLIKE])
def test_a_taste_that_turns_is_followed(name: str) -> None:
    """Of a history in both tastes, what came last says more."""
    history = [4, 11, 18, ITEMS + 4, ITEMS + 11, ITEMS + 18]
    weeks = NOW_S + 7 * 86_400.0 * np.arange(-6, 0)
    question = described_as(asked(history, weeks.tolist()))
    found = SOURCES[name].propose(checkerboard(), question)
    share = found.scores[found.items // ITEMS % 2 == 1].sum() / found.scores.sum()
    assert share > 0.55


@pytest.mark.parametrize("name", ["neighbours", "sets"])
def test_nobody_is_a_neighbour_of_oneself(name: str) -> None:
    told: list[Meeting] = [(1, 0, NOW_S), (1, 1, NOW_S + 1.0), (2, 2, NOW_S + 2.0)]
    memory = remembering(told)
    assert SOURCES[name].propose(memory, asked([0])).items.tolist() == [0, 1]
    assert not len(SOURCES[name].propose(memory, asked([0], user=1)))


def test_every_source_that_is_set_apart_exists() -> None:
    assert BLIND | REPEATING | SETLIKE | FORESEEING <= set(SOURCES)


@pytest.mark.parametrize("name", sorted(FORESEEING))
@pytest.mark.parametrize("world", ["one_of_the_crowd", "ten_thousand_events"])
def test_what_never_happened_is_foreseen_by_its_text_and_by_nothing_else(
    name: str, world: str
) -> None:
    memory, question = told(world)
    assert (SOURCES[name].propose(memory, question).items >= memory.num_items).any()
    assert not len(SOURCES[name].propose(*WORLDS[world]()))
