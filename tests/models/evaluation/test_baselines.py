from __future__ import annotations

import numpy as np
import pytest

from models.config import LearningConfig
from models.evaluation.arm import Arm, ArmSetup
from models.evaluation.arms import named
from models.evaluation.asking import ask
from models.evaluation.linear import Ease, ImplicitAls
from models.evaluation.neighbours import SessionNeighbours
from models.evaluation.popularity import OwnFrequency, Popularity, RecentPopularity
from models.evaluation.scores import Floats
from models.evaluation.stream import Stream
from models.evaluation.transitions import Transitions
from tests.models.evaluation.streams import Line, cycles, stream_of


def _ranks(arm: Arm, stream: Stream, period: int = 1) -> Floats:
    """Ranks of the targets of `period` after everything before it was learned."""
    arm.fit(stream.slice(0))
    for earlier in range(1, period):
        arm.update(stream.slice(earlier))
    questions, asked = ask(stream.slice(period))
    return arm.scores(questions).ranks(asked.question, asked.target)


TASTES: list[Line] = [
    ("u", "a", 1, 0),
    ("v", "a", 2, 0),
    ("w", "a", 3, 0),
    ("u", "b", 4, 0),
    ("u", "b", 5, 0),
    ("x", "b", 6, 1),
    ("y", "b", 7, 1),
    ("u", "c", 8, 1),
    ("u", "b", 9, 2),
    ("v", "b", 10, 2),
    ("v", "a", 11, 2),
]


def test_popularity_counts_since_the_beginning() -> None:
    assert _ranks(Popularity(), stream_of(TASTES), 2).tolist() == [1.0, 1.0, 2.0]


def test_recent_popularity_counts_the_last_period_alone() -> None:
    assert _ranks(RecentPopularity(), stream_of(TASTES), 2).tolist() == [1.0, 1.0, 3.0]


def test_own_frequency_knows_the_user_and_falls_back_to_everybody() -> None:
    # u took b twice; v took a once before, and b is what everybody takes
    assert _ranks(OwnFrequency(), stream_of(TASTES), 2).tolist() == [1.0, 2.0, 2.0]


@pytest.mark.parametrize("arm", [Transitions(1, 1), Transitions(10, 50)])
def test_a_chain_of_items_is_found_by_what_followed(arm: Transitions) -> None:
    assert (_ranks(arm, cycles(users=20, steps=60)) == 1.0).mean() > 0.95


def test_a_markov_chain_learns_what_changed() -> None:
    stream = cycles(users=20, steps=200, flip=True)
    before, after = _ranks(Transitions(1, 1), stream, 1), _ranks(Transitions(1, 1), stream, 4)

    assert (before <= 1).mean() < 0.1
    assert (after <= 2).mean() > 0.9


def _two_worlds() -> Stream:
    """Users of two groups take items of their own group's six; the next is one not taken yet."""
    random = np.random.default_rng(0)
    lines: list[Line] = []
    for user in range(60):
        group = user % 2
        for place, item in enumerate(random.permutation(6)):
            lines.append((f"u{user}", f"{group}-{item}", user * 100 + place))
    return stream_of(lines, num_periods=2)


@pytest.mark.parametrize(
    "arm", [SessionNeighbours(), Ease(damping=1.0), ImplicitAls(embedding_dim=8, damping=1.0)]
)
def test_models_of_sets_keep_to_the_group(arm: Arm) -> None:
    stream = _two_worlds()
    _, asked = ask(stream.slice(1))
    ranks = _ranks(arm, stream)[asked.ader]

    assert (ranks <= 6).mean() > 0.95, "no item of the other group stands above"


def test_session_neighbours_do_not_count_the_user_among_them() -> None:
    lines: list[Line] = [("u", "a", 1, 0), ("u", "b", 2, 0), ("v", "c", 3, 0), ("u", "b", 4, 1)]
    arm = SessionNeighbours()
    stream = stream_of(lines)
    arm.fit(stream.slice(0))
    questions, asked = ask(stream.slice(1))

    assert arm.scores(questions).ranks(asked.question, asked.target).tolist() == [2.0], (
        "nobody else took b, so that it stands where popularity puts it: equal with a and c"
    )


def test_ease_refuses_a_catalogue_too_large_to_invert(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.evaluation.linear.MAX_ITEMS", 3)
    with pytest.raises(ValueError, match="too many"):
        Ease().fit(cycles(users=5, steps=20).slice(0))


def test_session_neighbours_at_the_replay_budget_are_the_latest_sessions() -> None:
    lines: list[Line] = [
        ("p", "a", 1, 0), ("p", "x", 2, 0), ("q", "a", 3, 0), ("q", "y", 4, 0),
        ("z", "a", 5, 1), ("z", "x", 6, 1), ("w", "a", 7, 1), ("w", "y", 8, 1),
    ]  # fmt: skip
    stream = stream_of(lines)
    questions, asked = ask(stream.slice(1))
    after_a = asked.user_events == 1

    def ranks(size: int) -> dict[str, float]:
        """Of x and y after a, with so many sessions kept after the base."""
        (kind,) = named(["vsknn-budget"])
        arm = kind.make(ArmSetup(config=LearningConfig(replay_size=size)))
        arm.fit(stream.slice(0))
        assert arm.costs()["sessions_kept"] == min(size, 2)
        found = arm.scores(questions).ranks(asked.question, asked.target)
        return dict(zip("xy", found[after_a].tolist(), strict=True))

    assert ranks(2) == ranks(9) == {"x": 2.5, "y": 2.5}, "p says x as loud as q says y"
    assert ranks(1) == {"x": 3.0, "y": 2.0}, "p came before q and is forgotten"
    assert ranks(0) == {"x": 2.5, "y": 2.5}, "popularity alone"


def test_a_budget_as_large_as_the_stream_is_full_memory() -> None:
    stream = _two_worlds()
    full, bounded = SessionNeighbours(), SessionNeighbours(kept=60)

    assert np.array_equal(_ranks(full, stream), _ranks(bounded, stream))
    few = SessionNeighbours(kept=10)
    _ranks(few, stream, 2)
    assert few.costs()["sessions_kept"] == 10, "after an update, too"
