"""Sources, union and description together, on whatever there is to remember."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.memory.config import MemoryConfig
from models.memory.memory import FastMemory
from models.mixing.blend import NETWORK, Blend
from models.mixing.features import names
from models.mixing.mixer import Mixer
from models.mixing.network import Network
from models.sources import SOURCES, Question
from tests.models.crowds import NOW_S, asked, contents, crowd, remembering, stroll

ITEMS = 40
TINY = MemoryConfig(
    max_items=ITEMS, width=4, sessions=5, session_length=6, sessions_per_item=3, reach=3
)
meetings = st.lists(
    st.tuples(
        st.integers(0, 9), st.integers(0, ITEMS - 1), st.floats(0.0, 2 * NOW_S, allow_nan=False)
    ),
    max_size=60,
)
logits = st.lists(st.floats(-90.0, 90.0, width=32) | st.just(float("nan")), max_size=ITEMS + 20)


@settings(max_examples=60, deadline=None)
@given(
    told=meetings,
    picks=st.lists(st.tuples(st.integers(0, ITEMS - 1), st.floats(0.0, NOW_S)), max_size=30),
    later_s=st.floats(-1e6, 1e10),
    said=st.none() | logits,
    top=st.integers(1, 12),
    of=st.sets(st.sampled_from(tuple(SOURCES))),
)
def test_no_item_is_there_twice_and_what_is_told_is_finite_and_of_the_promised_width(
    told: list[tuple[int, int, float]],
    picks: list[tuple[int, float]],
    later_s: float,
    said: list[float] | None,
    top: int,
    of: set[str],
) -> None:
    memory = remembering(told, TINY, at_once=7)
    known = sorted((when, item) for item, when in picks if item < memory.num_items)
    question = Question(
        np.asarray([item for _, item in known], dtype=np.int64),
        np.asarray([when for when, _ in known], dtype=np.float64),
        NOW_S + later_s,
        3,
    )
    network = None if said is None else Network(torch.tensor(said))
    blend = Blend.of(tuple(of), top)
    before = contents(memory)
    candidates, proposals = blend.draft(memory, question, network)
    assert contents(memory) == before
    assert (np.diff(candidates.items) > 0).all()
    assert candidates.features.dtype == np.float32
    assert candidates.features.shape == (len(candidates), len(names(blend.names)))
    assert np.isfinite(candidates.features).all()
    assert tuple(proposals) == blend.names
    assert len(candidates) <= top * len(blend.names)
    scores = Mixer.initial(blend.names).scores(candidates.features)
    assert scores.shape == (len(candidates),)
    assert np.isfinite(scores).all()


def test_every_source_brings_in_its_best_and_is_heard_on_what_others_brought() -> None:
    memory, question = crowd(4, items=120), stroll(7, 7, 120)
    blend = Blend.of(top=5)
    network = Network(torch.linspace(0.0, 9.0, 130))
    candidates, said = blend.draft(memory, question, network)
    assert blend.names == (*SOURCES, NETWORK)
    expected = set(range(125, 130))
    for name, source in SOURCES.items():
        found = source.propose(memory, question)
        assert said[name].items.tolist() == found.items.tolist()
        order = sorted(range(len(found)), key=lambda at: (-found.scores[at], at))
        expected |= set(found.items[order[:5]].tolist())
    assert set(candidates.items.tolist()) == expected
    assert said[NETWORK].items.tolist() == sorted(expected)
    by_name = names(blend.names)
    for name in blend.names:
        column = candidates.features[:, by_name.index(f"{name}.rank")]
        best = sorted((value for value in column.tolist() if value), reverse=True)
        assert best == [np.float32(1.0 / rank) for rank in range(1, min(5, len(said[name])) + 1)]


def test_a_new_item_that_the_network_alone_knows_is_a_candidate() -> None:
    empty, nothing = FastMemory(TINY), asked([])
    candidates, _ = Blend.of().draft(empty, nothing, Network(torch.tensor([0.0, 1.0, 2.0])))
    assert candidates.items.tolist() == [0, 1, 2]
    assert np.argmax(Mixer.initial(Blend.of().names).scores(candidates.features)) == 2


def test_nobody_who_has_anything_to_say_is_an_empty_list() -> None:
    memory = remembering([(1, 0, NOW_S)], TINY)
    for blend in (Blend.of(("covisits",)), Blend.of(())):
        candidates, _ = blend.draft(memory, asked([0]))
        assert candidates.features.shape == (0, len(names(blend.names)))
        assert not len(Mixer.initial(blend.names).scores(candidates.features))


def test_any_items_are_described_as_among_the_candidates() -> None:
    memory, question, blend = crowd(3, items=ITEMS), stroll(3, 6, ITEMS), Blend.of(top=5)
    candidates, said = blend.draft(memory, question)
    turned = candidates.items[::-1].copy()
    found = blend.described(memory, question, said, turned)
    assert np.array_equal(found, candidates.features[::-1])
    stranger = np.setdiff1d(np.arange(ITEMS), candidates.items)[:1]
    assert len(stranger)
    with_stranger = blend.described(memory, question, said, np.append(turned, stranger))
    assert np.array_equal(with_stranger[:-1], found)
