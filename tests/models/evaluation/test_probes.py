"""Probe users are asked and never learned from: accessor by accessor, and arm by arm."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest
import torch

from models.content.features import Content
from models.evaluation.arm import Arm, ArmKind, ArmSetup
from models.evaluation.arms import KINDS
from models.evaluation.asking import ask
from models.evaluation.protocol import evaluate
from models.evaluation.questions import Questions
from models.evaluation.scores import Floats, Scores, SharedScores
from models.evaluation.stream import Columns, Slice, Stream, probe_users
from tests.models.evaluation.test_learning import SMALL

SHARE = 0.6
USERS = [f"u{number}" for number in range(20)]
PROBES = {user for user, probe in zip(USERS, probe_users(USERS, SHARE), strict=True) if probe}


def _walk(probe_step: int = 1, share: float = SHARE) -> Stream:
    """Users walk round twelve items; probe users take `probe_step` at a time."""
    columns = Columns([], [], [], [], [], [])
    for item in range(12):  # everybody else's first: so rows do not depend on the probes
        user = next(user for user in USERS if user not in PROBES)
        columns.append(user, f"i{item}", time_ms=item)
    for step in range(20):
        for number, user in enumerate(USERS):
            pace = probe_step if user in PROBES else 1
            columns.append(
                user, f"i{(number + step * pace) % 12}", time_ms=1_000 + step * 100 + number
            )
    return Stream(columns, num_periods=3, probe_share=share)


@pytest.fixture(scope="module")
def stream() -> Stream:
    return _walk()


@pytest.fixture(scope="module")
def base(stream: Stream) -> Slice:
    return stream.slice(0)


def _names(stream: Stream, rows: Floats | np.ndarray[tuple[int], np.dtype[np.int64]]) -> set[str]:
    return {stream.users.id(int(row)) for row in rows}


def test_there_are_probes_and_others() -> None:
    assert 0 < len(PROBES) < len(USERS)


def test_the_share_of_probes_is_about_what_was_asked_for() -> None:
    ids = [f"user {number}" for number in range(20_000)]

    assert probe_users(ids, 0.1).mean() == pytest.approx(0.1, abs=0.01)
    assert not probe_users(ids, 0.0).any()


def test_probes_are_the_same_whoever_else_is_there() -> None:
    ids = [f"user {number}" for number in range(1_000)]

    assert probe_users(ids, 0.1)[500:].tolist() == probe_users(ids[500:], 0.1).tolist()
    assert set(np.flatnonzero(probe_users(ids, 0.1))) < set(np.flatnonzero(probe_users(ids, 0.2)))


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_leaves_nobody_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="probes: must lie in"):
        probe_users(["u"], share)


def test_user_holds_no_probe(stream: Stream, base: Slice) -> None:
    assert _names(stream, base.user) == set(USERS) - PROBES


def test_item_goes_with_user(stream: Stream, base: Slice) -> None:
    assert len(base.item) == len(base.user) == len(base.rows) < len(base)
    assert base.item.tolist() == stream.item[base.rows].tolist()
    assert _names(stream, stream.user[base.rows]) == set(USERS) - PROBES


def test_pairs_hold_no_step_of_a_probe() -> None:
    stream = _walk(probe_step=5)
    earlier, later, distance = stream.slice(0).pairs(1)
    steps = (later[distance == 1] - earlier[distance == 1]) % 12

    assert (steps == 5).sum() == 0
    assert (steps == 1).sum() > 0
    open_ = _walk(probe_step=5, share=0.0).slice(0).pairs(1)
    assert ((open_[1] - open_[0]) % 12 == 5).sum() > 0, "they are there where nobody is a probe"


def test_sequences_hold_no_probe(stream: Stream, base: Slice) -> None:
    items, offsets, users = base.sequences()

    assert _names(stream, users) == set(USERS) - PROBES
    assert offsets[-1] == len(items) == len(base.rows)
    first = items[offsets[0] : offsets[1]]
    assert first.tolist() == base.item[base.user == users[0]].tolist()


def test_events_hold_no_probe_and_keep_their_keys(base: Slice) -> None:
    events = base.events(seed=3)
    every = {event.key for event in _walk(share=0.0).slice(0).events(seed=3)}

    assert {event.user_id for event in events} == set(USERS) - PROBES
    assert {event.key for event in events} < every


def test_items_that_probes_alone_took_keep_their_rows() -> None:
    probe, other = min(PROBES), next(user for user in USERS if user not in PROBES)
    columns = Columns([], [], [], [], [], [])
    for second, (user, item) in enumerate([(other, "a"), (probe, "b"), (other, "c"), (other, "d")]):
        columns.append(user, item, time_ms=second, period=int(second == 3))
    base = Stream(columns, probe_share=SHARE).slice(0)

    assert base.num_items == 3
    assert base.item.tolist() == [0, 2]


def test_so_far_windows_and_tail_leave_them_out_too(stream: Stream) -> None:
    last = stream.slice(3)
    parts = [last.so_far, last.tail(0.9), *last.windows(7)]

    assert all(_names(stream, part.user).isdisjoint(PROBES) for part in parts)
    assert len(last.so_far) == last.stop


def test_probes_alone_are_asked_where_probes_are_wanted(stream: Stream) -> None:
    _, probed = ask(stream.slice(1), probes=True)
    _, asked = ask(stream.slice(1))

    assert _names(stream, probed.user) == PROBES
    assert _names(stream, asked.user) == set(USERS)


class Spy(Arm):
    """Remembers whose events it was given."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.known = 0

    def fit(self, base: Slice) -> None:
        self.update(base)

    def update(self, period: Slice) -> None:
        self.seen |= {event.user_id for event in period.events(seed=0)}
        self.known = period.num_items

    def scores(self, questions: Questions) -> Scores:
        return SharedScores(np.zeros(self.known))


def _ranks(kind: ArmKind, stream: Stream) -> list[Floats]:
    """Ranks of the targets of users that are no probes."""
    clock = count()
    contents = {item: Content(f"thing number {item}") for item in stream.items.ids}
    setup = ArmSetup(config=SMALL, contents=contents)
    evaluation = evaluate(stream, [kind], setup, clock=lambda: float(next(clock)))
    run = evaluation.runs[kind.name]
    assert run.error is None
    others = np.asarray([user not in PROBES for user in stream.users.ids])
    return [
        ranks[others[asked.user]] for ranks, asked in zip(run.ranks, evaluation.asked, strict=True)
    ]


def test_a_spy_meets_no_probe_in_any_period(stream: Stream) -> None:
    spy = Spy()
    _ranks(ArmKind("spy", "", lambda _: spy), stream)

    assert spy.seen == set(USERS) - PROBES


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_no_arm_answers_otherwise_when_probes_do_something_else(kind: ArmKind) -> None:
    torch.set_num_threads(1)
    usual, other = _ranks(kind, _walk(1)), _ranks(kind, _walk(5))

    assert all(np.array_equal(a, b) for a, b in zip(usual, other, strict=True))


@pytest.mark.parametrize(
    "name", ["popularity", "markov", "rules", "vsknn", "ease", "ials", "finetune", "full-retrain"]
)
def test_arms_do_answer_otherwise_when_these_users_are_no_probes(name: str) -> None:
    torch.set_num_threads(1)
    kind = next(kind for kind in KINDS if kind.name == name)
    usual, other = _ranks(kind, _walk(1, share=0.0)), _ranks(kind, _walk(5, share=0.0))

    assert not all(np.array_equal(a, b) for a, b in zip(usual, other, strict=True))


def test_the_service_s_own_probes_are_off_where_the_stream_has_some() -> None:
    seen: list[float] = []

    def make(setup: ArmSetup) -> Arm:
        seen.append(setup.config.probe_share)
        return Spy()

    kind = ArmKind("spy", "", make)
    for share in (SHARE, 0.0):
        evaluate(_walk(share=share), [kind], ArmSetup(config=SMALL), clock=lambda: 0.0)

    assert seen == [0.0, SMALL.probe_share]
    assert SMALL.probe_share > 0.0
