"""Users who are set aside when they come, and items that only they have met: these rows wait."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from models.config import LearningConfig
from models.continual.adapters import DomainAdapters
from models.continual.fisher import Fisher
from models.continual.full import learn_archive
from models.continual.moments import Lesson, Start
from models.continual.reptile import Reptile
from models.continual.session import Session
from models.continual.state import LearningState
from models.continual.window import learn_window
from models.interactions import Event
from models.nets.adapters import NO_DOMAIN
from tests.models.tastes import checkerboard, event


def waiting(*methods: str, encoder: str = "mf", **parameters: dict[str, Any]) -> LearningState:
    """After two windows with half of their users set aside; each user has an item to himself."""
    state = LearningState.initial(settings(*methods, encoder=encoder, **parameters))
    for number in range(2):
        state = learn_window(state, window(number), seed=number, draw=()).state
    return state


def settings(*methods: str, encoder: str = "mf", **parameters: dict[str, Any]) -> LearningConfig:
    return LearningConfig(
        encoder=encoder,
        methods=methods,
        parameters=parameters,
        embedding_dim=8,
        probe_share=0.0,
        holdout_share=0.5,
        epochs=1,
        full_epochs=1,
        min_steps=10,
    )


def window(number: int) -> list[Event]:
    own = [event(f"w{number}.{n}", f"own{number}.{n}", n) for n in range(20)]
    return [*checkerboard(first=1_000 * number), *own]


def items_waiting(state: LearningState) -> list[int]:
    """Rows of items that only those have met who are set aside."""
    named = {item for sample in state.memory.pending for item in sample.item_ids}
    return [row for row, item in enumerate(state.items.ids) if item[:3] == "own" and item in named]


def rows_waiting(state: LearningState) -> list[int]:
    """Of users whom no update has learned from."""
    found = {sample.user_id for sample in state.memory.pending}
    rows = state.users.rows(sorted(found)).tolist()
    return [row for row in rows if not bool(state.net.users.rows[row].any())]


def test_a_user_who_waited_begins_as_a_newcomer() -> None:
    """In the direction that new rows have ended in, as one who comes in this very update."""
    state = waiting("reptile", reptile={"noise": 0.0})
    rows = rows_waiting(state)
    assert rows
    method = state.methods["reptile"]
    assert isinstance(method, Reptile)
    begun = F.normalize(Session(state, 7, "cpu").start["users"][rows], dim=1)
    toward = F.normalize(method.first["users"], dim=0)
    torch.testing.assert_close(begun, toward.expand_as(begun))


def test_empty_rows_are_no_example_of_where_new_ones_end() -> None:
    """Of those who waited and those who came, the ones that learned, whenever their rows came."""
    method = Reptile.initial(LearningConfig(methods=("reptile",)))
    ended = torch.tensor([[0.0, 0.0], [3.0, 0.0], [8.0, 8.0], [0.0, 0.0], [5.0, 2.0]])
    start = Start({"users": torch.ones(5, 2)}, {"users": 3}, {"users": torch.tensor([0, 1])})
    after = method.begun(start).consolidate({"users": ended}, Fisher())
    assert after.first["users"].tolist() == [4.0, 1.0]
    none = method.begun(start).consolidate({"users": torch.zeros(5, 2)}, Fisher())
    assert not none.first


def test_items_that_nobody_trained_has_met_are_no_example_either() -> None:
    """Chance has put them where they are, and negatives have pushed them away."""
    method = Reptile.initial(LearningConfig(methods=("reptile",)))
    start = Start(
        {"items": torch.ones(4, 2)}, {"items": 1}, lesson=Lesson(items=torch.tensor([0, 1, 3]))
    )
    ended = torch.tensor([[9.0, 9.0], [3.0, 0.0], [-8.0, 8.0], [5.0, 2.0]])
    after = method.begun(start).consolidate({"items": ended}, Fisher())
    assert after.first["items"].tolist() == [4.0, 1.0]


def test_of_a_window_only_items_that_were_learned_move_reptile() -> None:
    state = learn_window(
        LearningState.initial(settings("reptile")), window(0), seed=0, draw=()
    ).state
    method = state.methods["reptile"]
    assert isinstance(method, Reptile)
    wait = {sample.user_id for sample in state.memory.pending}
    met = {one.item_id for one in window(0) if one.user_id not in wait}
    assert 0 < len(met) < len(state.items)
    rows = state.net.items.rows[torch.from_numpy(state.items.rows(sorted(met)))]
    torch.testing.assert_close(method.first["items"], rows.mean(0))


def test_a_full_retrain_places_no_item_that_it_has_not_trained_on() -> None:
    state = waiting("adapters", encoder="gru", adapters={"domains": 2})
    events = [*window(0), *window(1)]
    retrained = learn_archive(state, events, seed=3)
    method, wait = retrained.methods["adapters"], items_waiting(state)
    assert isinstance(method, DomainAdapters)
    assert method.domains is not None
    assert wait
    assert (method.domains.of == NO_DOMAIN).nonzero()[:, 0].tolist() == wait
    later = learn_window(retrained, checkerboard(first=5_000), seed=4, draw=()).state
    method = later.methods["adapters"]
    assert isinstance(method, DomainAdapters)
    assert method.domains is not None
    assert bool((method.domains.of >= 0).all())


def test_a_user_who_waited_feels_no_pull_to_where_chance_has_put_him() -> None:
    state = waiting("l2", l2={"strength": 5.0})
    session, rows = Session(state, 7, "cpu"), rows_waiting(state)
    importance = session.methods["l2"].pulls(session.start)["users"].importance
    others = torch.ones(len(importance), dtype=torch.bool)
    others[rows] = False
    assert rows
    assert not importance[rows].any()
    assert bool((importance[others] == 1.0).all())
    later = learn_window(state, checkerboard(first=5_000), seed=2, draw=()).state
    session = Session(later, 8, "cpu")
    assert bool((session.methods["l2"].pulls(session.start)["users"].importance[rows] == 1.0).all())


def test_an_item_that_only_they_have_met_is_placed_when_it_is_trained_on() -> None:
    """Not by its random row, and neither when domains are found nor when they grow."""
    state = waiting("adapters", encoder="gru", adapters={"domains": 2})
    later = learn_window(state, checkerboard(first=5_000), seed=2, draw=()).state
    first, second = state.methods["adapters"], later.methods["adapters"]
    assert isinstance(first, DomainAdapters)
    assert isinstance(second, DomainAdapters)
    assert first.domains is not None
    assert second.domains is not None
    wait = items_waiting(state)
    assert wait
    assert len(wait) < sum(item[:3] == "own" for item in state.items.ids)
    assert (first.domains.of == NO_DOMAIN).nonzero()[:, 0].tolist() == wait
    assert bool((second.domains.of >= 0).all())
    placed = first.domains.of >= 0
    assert torch.equal(second.domains.of[: len(placed)][placed], first.domains.of[placed])
