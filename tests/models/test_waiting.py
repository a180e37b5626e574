"""Users who are set aside when they come, and items that only they have met: these rows wait."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from models.config import LearningConfig
from models.continual.adapters import DomainAdapters
from models.continual.fisher import Fisher
from models.continual.method import Start
from models.continual.reptile import Reptile
from models.continual.session import Session
from models.continual.state import LearningState
from models.continual.window import learn_window
from models.nets.adapters import NO_DOMAIN
from tests.models.tastes import checkerboard, event


def waiting(*methods: str, encoder: str = "mf", **parameters: dict[str, Any]) -> LearningState:
    """After two windows with half of their users set aside; each user has an item to himself."""
    config = LearningConfig(
        encoder=encoder,
        methods=methods,
        parameters=parameters,
        embedding_dim=8,
        probe_share=0.0,
        holdout_share=0.5,
        epochs=1,
        min_steps=10,
    )
    state = LearningState.initial(config)
    for number in range(2):
        own = [event(f"w{number}.{n}", f"own{number}.{n}", n) for n in range(20)]
        events = [*checkerboard(first=1_000 * number), *own]
        state = learn_window(state, events, seed=number, draw=()).state
    return state


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
    named = {item for sample in state.memory.pending for item in sample.item_ids}
    alone = [row for row, item in enumerate(state.items.ids) if item[:3] == "own"]
    wait = [row for row in alone if state.items.id(row) in named]
    assert wait
    assert len(wait) < len(alone)
    assert (first.domains.of == NO_DOMAIN).nonzero()[:, 0].tolist() == wait
    assert bool((second.domains.of >= 0).all())
    placed = first.domains.of >= 0
    assert torch.equal(second.domains.of[: len(placed)][placed], first.domains.of[placed])
