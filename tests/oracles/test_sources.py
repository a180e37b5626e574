"""Each source against its formula in slow loops, float64."""

from __future__ import annotations

import functools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import pytest

from models.memory.config import HOUR_S, MemoryConfig
from models.memory.graph import NONE, Graph
from models.memory.memory import FAST, SLOW, TRENDING, FastMemory
from models.sources import SOURCES, Question
from models.sources.covisits import Walk
from models.sources.latest import Latest
from models.sources.neighbours import Neighbours
from models.sources.own import DAY_S, Own
from tests.models.crowds import NOW_S, asked, crowd, described, observed, row_id, stroll

Said = dict[int, float]


def steps_of(question: Question) -> list[int]:
    """How many different times lie at or behind each item's, counted from the latest."""
    times = question.times.tolist()
    return [len({when for when in times if when >= own}) for own in times]


def latest(question: Question, reach: int) -> list[tuple[int, int]]:
    """(item, steps) of the last `reach` events."""
    return list(zip(question.items.tolist(), steps_of(question), strict=True))[-reach:]


def row_of(graph: Graph, item: int) -> Said:
    found = zip(graph.neighbours[item].tolist(), graph.weights[item].tolist(), strict=True)
    return {other: weight for other, weight in found if other != NONE}


def hop_slowly(graph: Graph, start: Iterable[tuple[int, float]]) -> Said:
    """Σ_a weight(a) · w(a → b) / Σ_c w(a → c)."""
    said: Said = defaultdict(float)
    for item, weight in start:
        row = row_of(graph, item)
        for other, value in row.items():
            said[other] += weight * value / sum(row.values())
    return said


def hops_slowly(graph: str, reach: int) -> Callable[[FastMemory, Question], Said]:
    def said(memory: FastMemory, question: Question) -> Said:
        start = [(item, 1.0 / steps) for item, steps in latest(question, reach)]
        return hop_slowly(getattr(memory, graph), start)

    return said


def walk_slowly(memory: FastMemory, question: Question, middle: int = 100) -> Said:
    first = hops_slowly("covisits", 20)(memory, question)
    best = sorted(first.items(), key=lambda pair: -pair[1])[:middle]
    popular = memory.counts.values[:, SLOW].tolist()
    return {
        item: score / max(popular[item], 1e-3) ** 0.25
        for item, score in hop_slowly(memory.covisits, best).items()
    }


def neighbours_slowly(
    memory: FastMemory,
    question: Question,
    *,
    decay: float | None = 2.0,
    reach: int = 20,
    answering: int = 300,
) -> Said:
    def fades(steps: float) -> float:
        return 1.0 if decay is None else 2.0 ** (-steps / decay)

    weight: Said = {item: fades(steps) for item, steps in latest(question, reach)}
    sessions, similar = memory.sessions, list[tuple[float, list[int]]]()
    for user, slot in sessions.slots.items():
        events = [item for item in sessions.items[slot].tolist() if item != NONE]
        shared = sum(weight.get(item, 0.0) for item in events)
        age = max(question.now_s - float(sessions.times[slot, -1]), 0.0)
        recent = 2.0 ** (-age / (memory.config.half_life_h * HOUR_S))
        if user != question.user and shared:
            similar.append((shared / len(events) ** 0.5 * recent, events))
    said: Said = defaultdict(float)
    for similarity, events in sorted(similar, key=lambda pair: -pair[0])[:answering]:
        last = max(place for place, item in enumerate(events) if item in weight)
        for place, item in enumerate(events):
            said[item] += similarity * fades(abs(place - last))
    return said


def nearness(when_s: float, now_s: float) -> float:
    """A bell two hours wide around the hour that it is now."""
    apart = abs(when_s / HOUR_S % 24.0 - now_s / HOUR_S % 24.0)
    return math.exp(-((min(apart, 24.0 - apart) / 2.0) ** 2) / 2.0)


def own_slowly(memory: FastMemory, question: Question) -> Said:
    said: Said = defaultdict(float)
    for item, when in zip(question.items.tolist(), question.times.tolist(), strict=True):
        near = 1.0 + 2.0 * nearness(when, question.now_s)
        said[item] += 2.0 ** (-(question.now_s - when) / (30 * DAY_S)) * near
    return said


def popular_slowly(rate: int) -> Callable[[FastMemory, Question], Said]:
    def said(memory: FastMemory, question: Question) -> Said:
        half_life_s = memory.counts.half_lives_s.tolist()[rate]
        times, values = memory.counts.times.tolist(), memory.counts.values[:, rate].tolist()
        now_s = max(times)
        decayed = {
            item: values[item] * 2.0 ** ((times[item] - now_s) / half_life_s)
            for item in range(memory.num_items)
        }
        best = sorted(decayed, key=lambda item: -decayed[item])[:100]
        return {item: decayed[item] for item in best}

    return said


def latest_slowly(memory: FastMemory, question: Question) -> Said:
    events = memory.counts.events.tolist()
    happened = [item for item in range(memory.num_items) if events[item]]
    return {item: 1.0 / place for place, item in enumerate(happened[::-1][:100], start=1)}


def content_slowly(memory: FastMemory, question: Question) -> Said:
    """tf-idf and cosines, by dictionaries."""
    texts = question.texts
    if texts is None:
        return {}
    ids = texts.index.items.ids
    raw = [dict(zip(*map(list, texts.index.row(one)), strict=True)) for one in ids]
    having = Counter(column for row in raw for column in row)
    rows = {}
    for one, row in zip(ids, raw, strict=True):
        weighed = {
            column: float(value) * (math.log((1 + len(ids)) / (1 + having[column])) + 1)
            for column, value in row.items()
        }
        rows[one] = scaled(weighed)
    query: Said = defaultdict(float)
    for item, steps in latest(question, 20):
        for column, value in rows[row_id(item)].items():
            query[column] += value / steps
    query = scaled(query)
    said = {}
    for one, row in rows.items():
        place = int(texts.rows_of([one])[0])
        if place >= memory.num_items or memory.counts.events[place] < 5.0:
            said[place] = sum(value * query.get(column, 0.0) for column, value in row.items())
    best = sorted(said, key=lambda item: -said[item])[:100]
    return {item: said[item] for item in best}


def scaled(row: Said) -> Said:
    length = math.sqrt(sum(value * value for value in row.values()))
    return {column: value / length for column, value in row.items()}


ORACLES: Mapping[str, Callable[[FastMemory, Question], Said]] = {
    "covisits": hops_slowly("covisits", 20),
    "walk": walk_slowly,
    "rules": hops_slowly("rules", 10),
    "neighbours": neighbours_slowly,
    "sets": functools.partial(neighbours_slowly, decay=None, reach=100),
    "own": own_slowly,
    "trending": popular_slowly(TRENDING),
    "fast-popular": popular_slowly(FAST),
    "latest": latest_slowly,
    "content": content_slowly,
}

NARROW = MemoryConfig(
    max_items=9_000, width=3, sessions=31, session_length=11, sessions_per_item=97, reach=4
)
LONE = MemoryConfig(max_items=9_000, width=1, sessions=1, session_length=1, reach=1)


def tight() -> FastMemory:
    """Rows that are full, sessions that ran over, slots that others have by now."""
    return crowd(5, items=37, config=NARROW)


def wide() -> FastMemory:
    """More items than anybody could list, so that sums are made by sorting."""
    return crowd(6, items=8_999, config=NARROW)


def many_sessions() -> FastMemory:
    return crowd(7, items=211, users=450, events=1_900)


def brief() -> FastMemory:
    """All within three hours, so that what is fast has not faded."""
    return crowd(8, items=150, span_s=3 * HOUR_S)


def lone() -> FastMemory:
    return crowd(9, items=3, users=2, events=5, config=LONE)


MEMORIES: dict[str, Callable[[], FastMemory]] = {
    memory.__name__: functools.cache(memory) for memory in (tight, wide, many_sessions, brief, lone)
}


ROUGHLY = {"content": 1e-5}
"""Of those that count in float32."""


def agree(found: Said, expected: Said, rel: float = 1e-9) -> None:
    expected = {item: score for item, score in expected.items() if score > 0.0}
    assert found == pytest.approx(expected, rel=rel, abs=0.0)


def said_by(source: object, memory: FastMemory, question: Question) -> Said:
    found = source.propose(memory, question)  # type: ignore[attr-defined]
    return dict(zip(found.items.tolist(), found.scores.tolist(), strict=True))


@pytest.mark.parametrize("size", [1, 2, 19, 20, 21, 130])
@pytest.mark.parametrize("crowd", MEMORIES)
@pytest.mark.parametrize("name", SOURCES)
def test_it_says_what_its_formula_says(name: str, crowd: str, size: int) -> None:
    memory = MEMORIES[crowd]()
    question = replace(
        stroll(size, size, memory.num_items), texts=described(memory.num_items, taste=7)
    )
    expected = ORACLES[name](memory, question)
    agree(said_by(SOURCES[name], memory, question), expected, ROUGHLY.get(name, 1e-9))


def test_every_source_has_an_oracle() -> None:
    assert set(ORACLES) == set(SOURCES)


@pytest.mark.parametrize("size", [1, 3, 40, 100, 5_000])
def test_the_latest_are_found_however_far_back_they_are(size: int) -> None:
    """Rows that were given and have not happened lie between, and behind the last."""
    memory = FastMemory(NARROW)
    memory.observe(observed([(1, item, NOW_S) for item in (*range(0, 300, 7), *range(0, 900, 99))]))
    memory.grow(2_000)
    happened = [item for item in range(2_000) if memory.counts.events[item] > 0.0][-size:]
    expected = {item: 1.0 / place for place, item in enumerate(happened[::-1], start=1)}
    agree(said_by(Latest(size), memory, asked([0])), expected)


@pytest.mark.parametrize("middle", [1, 5, 17])
def test_a_walk_goes_by_way_of_the_best_in_the_middle(middle: int) -> None:
    memory = MEMORIES["many_sessions"]()
    question = stroll(4, 7, memory.num_items)
    agree(
        said_by(Walk(middle=middle), memory, question),
        walk_slowly(memory, question, middle=middle),
    )


@pytest.mark.parametrize("decay", [None, 0.7, 5.0])
@pytest.mark.parametrize("answering", [1, 13, 100])
def test_of_the_neighbours_the_most_similar_answer(decay: float | None, answering: int) -> None:
    memory = MEMORIES["many_sessions"]()
    question = stroll(4, 21, memory.num_items)
    agree(
        said_by(Neighbours(answering, decay), memory, question),
        neighbours_slowly(memory, question, decay=decay, answering=answering),
    )


def test_of_the_sessions_those_that_share_most_are_looked_at_and_of_equals_the_latest() -> None:
    told = [(1, 0, 1.0), (1, 1, 1.0), (2, 1, 2.0), (2, 2, 2.0), (3, 1, 3.0), (3, 3, 3.0)]
    told += [(4, 0, 4.0), (4, 4, 4.0)]
    memory = FastMemory(NARROW)
    memory.observe(observed([(user, item, NOW_S + when) for user, item, when in told]))
    question = asked([0, 1, 1], [NOW_S - 9.0, NOW_S - 5.0, NOW_S + 9.0])

    def found(looked_at: int) -> set[int]:
        return set(said_by(Neighbours(looked_at=looked_at), memory, question))

    assert found(1) == {0, 1}
    assert found(2) == {0, 1, 3}
    assert found(3) == {0, 1, 2, 3}
    assert found(4) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(("hour", "expected"), [(0, 3.0), (2, 1 + 2 * 0.6065306597), (12, 1.0)])
@pytest.mark.parametrize("way", [-1, 1])
def test_the_hour_of_the_day_counts_around_the_clock(hour: int, expected: float, way: int) -> None:
    """With no forgetting: thrice at the same hour, once at the opposite one."""
    question = Question(
        asked([7]).items, asked([0], [NOW_S]).times, NOW_S + (48 + way * hour) * HOUR_S
    )
    memory = MEMORIES["tight"]()
    assert said_by(Own(half_life_s=1e30), memory, question) == {7: pytest.approx(expected, 1e-6)}
