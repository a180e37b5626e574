"""What the fast memory counts, against slow loops in float64; and what its bounds leave."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterator

import numpy as np
import pytest

from models.memory.config import HOUR_S, MemoryConfig
from models.memory.graph import NONE, Graph
from models.memory.memory import FAST, SLOW, TRENDING, FastMemory, Observed, Touched
from tests.models.crowds import observed

CONFIG = MemoryConfig(max_items=100, width=100, sessions=200, session_length=12, reach=3)
NUM_ITEMS = 40


def stream(seed: int, size: int = 600, users: int = 40, span_s: float = 5 * HOUR_S) -> Observed:
    """Events of baskets (equal times) and of a few that come late."""
    random = np.random.default_rng(seed)
    times = 30.0 * np.sort(random.integers(0, int(span_s / 30), size)).astype(np.float64)
    late = random.random(size) < 0.02
    times[late] -= 3_600.0
    return Observed(
        random.integers(0, users, size).astype(np.uint64) + np.uint64(2**63),
        random.integers(0, NUM_ITEMS, size),
        times,
        random.choice([1.0, 3.0, 5.0], size),
    )


def shown(config: MemoryConfig, events: Observed, at_once: int) -> FastMemory:
    memory = FastMemory(config)
    for start in range(0, len(events), at_once):
        memory.observe(events.part(start, start + at_once))
    return memory


def pairs_slowly(events: Observed, config: MemoryConfig) -> Iterator[tuple[int, int, int, int]]:
    """(earlier item, later item, steps apart, place of the later event), user by user."""
    told: OrderedDict[int, list[tuple[int, float]]] = OrderedDict()
    for at, (user, item, when) in enumerate(
        zip(events.users.tolist(), events.items.tolist(), events.times.tolist(), strict=True)
    ):
        if user not in told and len(told) == config.sessions:
            told.popitem(last=False)
        past = told.setdefault(user, [])
        told.move_to_end(user)
        distance, after = 0, when
        for other, its_time in reversed(past[-config.session_length :]):
            distance, after = distance + (its_time != after), its_time
            if distance <= config.reach and other != item:
                yield other, item, distance, at
        past.append((item, when))


def weights_slowly(
    events: Observed, config: MemoryConfig, half_life_s: float, both: bool
) -> tuple[dict[tuple[int, int], float], dict[int, float]]:
    """Sums of all pairs as of each row's latest time, and these times."""
    found = list(pairs_slowly(events, config))
    rows: dict[int, float] = defaultdict(lambda: -np.inf)
    told = []
    for a, b, distance, at in found:
        weight, when = float(events.weights[at]) / max(distance, 1), float(events.times[at])
        told += [(a, b, weight, when)] if both or distance > 0 else []
        told += [(b, a, weight, when)] if both else []
    for a, _, _, when in told:
        rows[a] = max(rows[a], when)
    sums: dict[tuple[int, int], float] = defaultdict(float)
    for a, b, weight, when in told:
        sums[a, b] += weight * 2.0 ** ((when - rows[a]) / half_life_s)
    return sums, rows


def row_of(graph: Graph, row: int) -> dict[int, float]:
    there = graph.neighbours[row] != NONE
    found = zip(
        graph.neighbours[row, there].tolist(), graph.weights[row, there].tolist(), strict=True
    )
    return dict(found)


@pytest.mark.parametrize("at_once", [1, 10_000])
def test_graphs_hold_what_a_slow_loop_sums(at_once: int) -> None:
    config = MemoryConfig(width=160, sessions=30, session_length=12, reach=3, half_life_h=4)
    events = stream(1)
    memory = shown(config, events, at_once)
    for graph, half_life_h, both in (
        (memory.covisits, 4, True),
        (memory.rules, 4, False),
    ):
        sums, times = weights_slowly(events, config, half_life_h * HOUR_S, both)
        for row in range(NUM_ITEMS):
            expected = {b: value for (a, b), value in sums.items() if a == row}
            assert row_of(graph, row) == pytest.approx(expected, rel=1e-4)
            assert graph.times[row] == times[row]


@pytest.mark.parametrize("at_once", [1, 10_000])
def test_counts_hold_what_a_slow_loop_sums(at_once: int) -> None:
    events = stream(2)
    memory = shown(CONFIG, events, at_once)
    now = 6 * HOUR_S
    for rate, half_life_h in ((SLOW, 1_440.0), (TRENDING, 24.0), (FAST, 0.5)):
        expected = np.zeros(NUM_ITEMS)
        for item, when, weight in zip(events.items, events.times, events.weights, strict=True):
            expected[item] += weight * 2.0 ** (-(now - when) / (half_life_h * HOUR_S))
        found = memory.counts.at(np.arange(NUM_ITEMS), now)[:, rate]
        assert found == pytest.approx(expected, rel=1e-9)
    assert Counter(events.items.tolist()) == dict(enumerate(memory.counts.events[:NUM_ITEMS]))


def test_forward_decay_knows_no_order() -> None:
    random = np.random.default_rng(3)
    sources, targets = random.integers(0, 5, 400), random.integers(5, 30, 400)
    weights, times = random.random(400), random.random(400) * 1e6
    graphs = []
    for order in (np.arange(400), random.permutation(400)):
        graph = Graph(50, 3e5)
        graph.grow(30)
        for some in np.array_split(order, 9):
            graph.add(sources[some], targets[some], weights[some], times[some])
        graphs.append(graph)
    for row in range(5):
        assert row_of(graphs[0], row) == pytest.approx(row_of(graphs[1], row), rel=1e-5)


def test_one_batch_or_many_end_in_the_same_sessions_to_the_bit() -> None:
    config = MemoryConfig(width=100, sessions=20, session_length=5, reach=3)
    events = stream(4)
    one, many = shown(config, events, 10_000), shown(config, events, 1)
    assert one.sessions.slots == many.sessions.slots
    assert list(one.sessions.slots) == list(many.sessions.slots)
    for name in ("items", "times", "sizes", "keys", "touched"):
        assert np.array_equal(getattr(one.sessions, name), getattr(many.sessions, name))


def test_baskets_pair_as_sets_and_follow_nothing() -> None:
    memory = FastMemory(CONFIG)
    user = np.full(3, 9, dtype=np.uint64)
    memory.observe(Observed(user, np.array([0, 1, 2]), np.array([5.0, 5.0, 5.0]), np.ones(3)))
    assert row_of(memory.covisits, 0) == {1: 1.0, 2: 1.0}
    assert row_of(memory.rules, 0) == row_of(memory.rules, 1) == {}
    late = Observed(user[:1], np.array([3]), np.array([6.0]), np.ones(1))
    memory.observe(late)
    assert row_of(memory.rules, 0) == row_of(memory.rules, 2) == {3: 1.0}
    again = Observed(user[:1], np.array([4]), np.array([6.0]), np.ones(1))
    memory.observe(again)  # the basket goes on in another call
    assert row_of(memory.rules, 3) == {}
    assert row_of(memory.covisits, 4)[3] == 1.0


def test_the_strongest_stay_and_a_celebrity_keeps_to_its_width() -> None:
    graph = Graph(100, 1e9)
    graph.grow(50_001)
    random = np.random.default_rng(5)
    likely = 1.0 / np.arange(1, 50_001)
    for _ in range(10):
        targets = random.choice(50_000, 100_000, p=likely / likely.sum()) + 1
        sources = np.zeros(100_000, dtype=np.int64)
        graph.add(sources, targets, np.full(100_000, 10.0), np.zeros(100_000))
    assert graph.neighbours.shape[1] == 100
    assert set(range(1, 51)) <= set(graph.neighbours[0].tolist())
    assert (np.diff(graph.weights[0]) <= 0).all()
    assert graph.weights[0, 0] == pytest.approx(1e7 * likely[0] / likely.sum(), rel=0.02)


def test_sessions_are_rings_and_the_longest_silent_goes() -> None:
    memory = FastMemory(MemoryConfig(sessions=2, session_length=3, reach=3, sessions_per_item=4))
    for user, item in [(1, 0), (2, 1), (1, 2), (1, 3), (1, 4), (3, 5)]:
        memory.observe(
            Observed(np.array([user], np.uint64), np.array([item]), np.array([1.0]), np.ones(1))
        )
    sessions = memory.sessions
    assert set(sessions.slots) == {1, 3}
    assert sessions.events(sessions.slots[1])[0].tolist() == [2, 3, 4]
    assert sessions.events(sessions.slots[3])[0].tolist() == [5]
    assert sessions.slots[1] in sessions.found[3]


def test_an_item_leads_to_a_session_once_however_often_it_comes_back() -> None:
    config = MemoryConfig(sessions=4, session_length=2, reach=2, sessions_per_item=3)
    memory = FastMemory(config)
    ways = [(user, item) for user in (1, 2, 3) for item in (0, 1, 2, 0, 3, 4)]
    for at, (user, item) in enumerate([*ways, (1, 0)]):
        memory.observe(observed([(user, item, float(at))]))
    sessions = memory.sessions
    assert sorted(sessions.found[0].tolist()) == sorted(sessions.slots[one] for one in (1, 2, 3))
    memory.observe(observed([(4, 0, 100.0)]))
    left = {sessions.slots[one] for one in (3, 1, 4)}
    assert set(sessions.found[0].tolist()) == left, "2 has been silent on it for longest"


def test_what_was_touched_is_all_that_changed() -> None:
    events = stream(6)
    memory = shown(CONFIG, events.part(0, 500), 100)
    before = rows(memory)
    touched = memory.observe(events.part(500, 503))
    after = rows(memory)
    changed = {key for key in after if before.get(key) != after[key]}
    assert changed == told(touched)


def rows(memory: FastMemory) -> dict[tuple[str, int], bytes]:
    from models.memory.packing import pack_item, pack_session

    items = {("item", row): pack_item(memory, row) for row in range(memory.num_items)}
    slots = memory.sessions.slots.values()
    return items | {("session", slot): pack_session(memory, slot) for slot in slots}


def told(touched: Touched) -> set[tuple[str, int]]:
    items = {("item", row) for row in touched.items.tolist()}
    return items | {("session", slot) for slot in touched.sessions.tolist()}


def test_leaders_are_kept_as_they_rise() -> None:
    events = stream(7)
    memory = FastMemory(CONFIG)
    for start in range(0, len(events), 50):
        memory.observe(events.part(start, start + 50))
        for rate in (SLOW, TRENDING, FAST):
            items, counts = memory.leaders(rate, 5)
            values = memory.counts.at(np.arange(memory.num_items), 5 * HOUR_S)[:, rate]
            best = np.sort(values)[::-1][: len(items)]
            assert np.sort(values[items])[::-1] == pytest.approx(best)
            assert (counts > 0.0).all()


def test_compaction_drops_what_happened_least_and_leaves_the_rest_as_it_was() -> None:
    memory = shown(CONFIG, stream(8), 100)
    twin, kept = memory.compacted(25)
    counts = memory.counts.at(np.arange(NUM_ITEMS), 5 * HOUR_S)[:, SLOW]
    assert set(kept.tolist()) == set(np.argsort(-counts)[:25].tolist())
    assert twin.num_items == 25
    assert not twin.is_full
    number = {int(old): new for new, old in enumerate(kept)}
    for name in ("covisits", "rules"):
        old: Graph = getattr(memory, name)
        new: Graph = getattr(twin, name)
        for row in kept.tolist():
            there = {number[b]: w for b, w in row_of(old, row).items() if b in number}
            assert row_of(new, number[row]) == there
            assert list(row_of(new, number[row])) == list(there)  # strongest first, no gaps
            assert new.times[number[row]] == old.times[row]
    assert np.array_equal(twin.counts.values[:25], memory.counts.values[kept])
    assert list(twin.sessions.slots) == list(memory.sessions.slots)
    for key, slot in memory.sessions.slots.items():
        items, times = memory.sessions.events(slot)
        stays = np.isin(items, kept)
        mine = twin.sessions.events(twin.sessions.slots[key])
        assert mine[0].tolist() == [number[item] for item in items[stays].tolist()]
        assert mine[1].tolist() == times[stays].tolist()
    leaders = memory.leaders(SLOW, 3)[0].tolist()
    assert twin.leaders(SLOW, 3)[0].tolist() == [number[row] for row in leaders]


def test_thousands_of_events_a_second() -> None:
    """Of the processor's time, whoever else wants it."""
    random = np.random.default_rng(10)
    size = 12_000
    events = Observed(
        random.integers(0, 3_000, size).astype(np.uint64),
        np.minimum((random.pareto(1.0, size) * 50).astype(np.int64), 19_999),
        np.sort(random.random(size)) * 864_000,
        np.ones(size),
    )
    started = time.process_time()
    shown(MemoryConfig(), events, 2_000)
    assert size / (time.process_time() - started) > 5_000
