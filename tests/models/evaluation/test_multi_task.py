"""The arm with heads: asked by the type of the event that is asked for."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest

from models.config import LearningConfig
from models.evaluation.arm import ArmKind, ArmSetup
from models.evaluation.arms import named
from models.evaluation.asking import ask
from models.evaluation.learning import MultiTask
from models.evaluation.protocol import evaluate
from models.evaluation.report import report
from models.evaluation.stream import Columns, Stream
from tests.models.errands import errands

SMALL = LearningConfig(
    embedding_dim=16, max_history=8, full_epochs=4, holdout_share=0.0, min_steps=100
)


def stream_of(types: bool = True) -> Stream:
    """The errands, users by turns; without types the same events are all of one."""
    columns = Columns([], [], [], [], [], [])
    events = errands()
    for step in range(16):
        for place in range(step, len(events), 16):
            event = events[place]
            columns.append(
                event.user_id,
                event.item_id,
                time_ms=len(columns.user_ids),
                type=event.type if types else "click",
            )
    return Stream(columns, num_periods=2)


def arm(enough: int = 50) -> MultiTask:
    return MultiTask(ArmSetup(config=SMALL), enough=enough)


@pytest.mark.parametrize(
    ("types", "enough", "heads"),
    [(True, 50, ("click", "purchase")), (True, 10_000, ()), (False, 50, ())],
)
def test_types_of_the_base_with_enough_events_have_heads(
    types: bool, enough: int, heads: tuple[str, ...]
) -> None:
    made = arm(enough)
    made.fit(stream_of(types).slice(0))
    assert made.config.type_heads == heads


def test_heads_pay_where_types_differ() -> None:
    kinds = [ArmKind("multi-task", "", lambda setup: MultiTask(setup, enough=50))]
    found = evaluate(
        stream_of(),
        [*kinds, *named(["network"])],
        ArmSetup(config=SMALL),
        clock=time.perf_counter,
    )
    figures = report([found])
    assert not figures["failed"]
    recall = {name: arm["recall@10"] for name, arm in figures["arms"].items()}
    assert recall["multi-task"] > recall["network"] + 0.15, recall


def test_a_basket_of_two_types_asks_two_questions() -> None:
    columns = Columns([], [], [], [], [], [])
    for n in range(20):
        columns.append("u", f"i{n}", time_ms=n // 4, type=("click", "buy")[n % 2])
    stream = Stream(columns, num_periods=1)
    questions, asked = ask(stream.slice(1))
    assert [questions.types[place] for place in asked.question] == [
        stream.types[row] for row in range(stream.bounds[1], stream.bounds[2])
    ]
    halves = questions[slice(0, 1)]
    assert halves.types == questions.types[:1]
    assert len(questions) == 2 * len(np.unique(stream.step[questions.stops]))


def test_soft_sharing_stands_beside_the_configured_methods() -> None:
    setup = ArmSetup(config=dataclasses.replace(SMALL, methods=("replay", "soft-sharing")))
    (kind,) = named(["soft-sharing"])
    made = kind.make(setup)
    assert isinstance(made, MultiTask)
    assert made.config.methods == ("replay", "soft-sharing")
