"""What continual learning rests on beside its methods, broken on purpose: its tests must notice."""

from __future__ import annotations

from typing import Any

import pytest

from models.compression import LowRank, Rows
from models.continual.drift import Adwin, Alarm, PageHinkley
from models.continual.stopping import Stopping
from models.evaluation import noise
from models.nets.heads import Heads
from models.nets.table import GrowableTable
from models.parameters import initial_rows
from tests.contracts import test_encoders, test_heads, test_methods
from tests.models import test_compression, test_drift
from tests.models.evaluation import test_noise
from tests.oracles.mutants import Check, Mutant, assert_noticed, each_of


def stopped() -> None:
    with pytest.MonkeyPatch.context() as patch:
        test_methods.test_stopped_early_it_is_as_if_it_had_been_asked_for_so_many_passes(
            "replay", "gru", patch
        )


def falls(name: str) -> Check:
    return lambda: test_drift.TestDetectors().test_an_abrupt_fall_is_noticed_within_ten_windows(
        name, 0
    )


def steady(name: str) -> Check:
    return lambda: test_drift.TestDetectors().test_a_steady_stream_raises_none_in_120_windows(
        name, 0
    )


def deaf(self: Any, scores: Any) -> None:
    """Hears no fall."""


def jumpy(self: Any, scores: Any) -> Alarm:
    return Alarm(1.0, 0.0)


def all_anew(self: GrowableTable, *given: Any) -> GrowableTable:
    grown = GROWN(self, *given)
    return GrowableTable(
        self.dim, len(grown), initial_rows(len(grown), 0, len(grown), self.dim, 1.0)
    )


GROWN = GrowableTable.grown

MUTANTS: list[Mutant] = [
    ("ADWIN hears nothing", Adwin, "alarm", deaf, falls("adwin")),
    ("ADWIN cries wolf", Adwin, "alarm", jumpy, steady("adwin")),
    ("Page–Hinkley hears nothing", PageHinkley, "alarm", deaf, falls("page-hinkley")),
    ("Page–Hinkley cries wolf", PageHinkley, "alarm", jumpy, steady("page-hinkley")),
    ("the last pass is kept", Stopping, "settle", lambda self: self._passes, stopped),
    ("passes go on whatever the judge says", Stopping, "is_over", lambda self: False, stopped),
    (
        "every type is answered alike",
        Heads,
        "__call__",
        lambda self, hidden, heads, dense: hidden,
        lambda: test_heads.test_a_query_goes_through_its_own_head("gru", False),
    ),
    (
        "growing begins all rows anew",
        GrowableTable,
        "grown",
        all_anew,
        lambda: test_encoders.test_growth_leaves_old_scores_unchanged("gru"),
    ),
    (
        "no label is wrong",
        noise,
        "_relabelled",
        lambda stream, *_: stream,
        test_noise.test_wrong_labels_are_uniform_over_the_other_items,
    ),
    (
        "no bot comes",
        noise,
        "_with_bots",
        lambda stream, *_: stream,
        lambda: test_noise.test_bots_have_thousands_of_events_on_few_items(0.1),
    ),
    (
        "int8 has no scale",
        Rows,
        "__getitem__",
        lambda self, rows: self.values[rows].float(),
        lambda: test_compression.TestBounds().test_int8_is_off_by_half_a_scale(7, 5),
    ),
    (
        "the product of low rank is nothing",
        LowRank,
        "__getitem__",
        lambda self, rows: 0.0 * (self.left[rows] @ self.right),
        lambda: test_compression.test_low_rank_is_off_by_the_singular_values_left_out(3),
    ),
]


@each_of(MUTANTS)
def test_it_is_noticed(monkeypatch: pytest.MonkeyPatch, mutant: Mutant) -> None:
    assert_noticed(monkeypatch, mutant)
