"""Rows of one vocabulary in another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from models.vocabulary import Vocabulary
from service.serving.crossing import Crossing


class Asked(Vocabulary):
    """Counts what is looked up in it."""

    asked = 0

    def rows(self, externals: Iterable[str]) -> Any:
        ids = list(externals)
        self.asked += len(ids)
        return super().rows(ids)


def test_rows_lead_to_the_same_ids_as_the_origin_grows_and_none_is_looked_up_twice() -> None:
    random = np.random.default_rng(0)
    origin, target = Vocabulary(), Asked(f"i{n}" for n in random.permutation(300)[:200])
    crossing, met = Crossing(origin, target), set[int]()
    for size in (1, 7, 8, 90, 300):
        origin.grow(f"i{n}" for n in range(size))
        for _ in range(3):
            rows = np.sort(random.choice(size, max(1, size // 2), replace=False))
            before = target.asked
            found = crossing.rows(rows)
            assert target.asked - before == len(set(rows.tolist()) - met)
            met.update(rows.tolist())
            assert found.tolist() == [target.row(origin.id(row)) for row in rows.tolist()]
    assert -1 in found.tolist()
    assert not len(crossing.rows(rows[:0]))
