"""Candidates are named as far as somebody looks."""

from __future__ import annotations

import numpy as np

from service.serving.mixed import Named

ITEMS, SCORES = np.asarray([7, 3, 5]), np.asarray([2.5, 1.0, -1.0])


def test_it_is_a_list_of_ids_and_scores() -> None:
    named, listed = Named(ITEMS, SCORES, str), [("7", 2.5), ("3", 1.0), ("5", -1.0)]
    assert list(named) == list(named) == listed
    assert (len(named), named[-1], named[:2], named[5:]) == (3, listed[-1], listed[:2], [])


def test_no_more_are_named_than_are_looked_at() -> None:
    asked: list[int] = []

    def name(item: int) -> str:
        asked.append(item)
        return str(item)

    named = Named(ITEMS, SCORES, name)
    assert next(iter(named)) == ("7", 2.5)
    assert named[:1] == [("7", 2.5)]
    assert asked == [7, 7]
