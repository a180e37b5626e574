"""Texts by rows that grow, over an index that is replaced: as if looked up anew each time."""

from __future__ import annotations

import numpy as np
import pytest

from models.content.features import EMPTY, Content, HashedTokens, Row
from models.content.neighbours import ContentIndex
from models.content.texts import NONE, Shelf, Texts
from models.vocabulary import Vocabulary


def row_of(word: str) -> Row:
    return HashedTokens().rows([Content(title=word)])[0]


def index_of(*items: str) -> ContentIndex:
    empty = ContentIndex.empty(HashedTokens().width, 100)
    return empty.with_rows({item: row_of(item) for item in items})


def test_items_without_a_row_stand_behind_the_last_by_their_place() -> None:
    texts = Texts.of(index_of("a", "new", "b"), Vocabulary(["b", "mute", "a"]), few=5.0)
    assert texts.rows(np.arange(3)).tolist() == [2, 3 + 1, 0]
    assert texts.places(np.arange(3)).tolist() == [2, NONE, 0]
    assert texts.rows_of(["b", "mute", "a", "new", "never"]).tolist() == [0, 1, 2, 4, NONE]
    assert [texts.id(row) for row in (0, 1, 2, 4)] == ["b", "mute", "a", "new"]
    assert texts.end == 6


@pytest.mark.parametrize("seed", range(5))
def test_following_ends_where_looking_up_anew_does(seed: int) -> None:
    """Rows grow, texts come, change and go, the index is laid out anew, the rows are given anew."""
    random = np.random.default_rng(seed)
    index, items, names = index_of(), Vocabulary(), [f"n{at}" for at in range(120)]
    given: ContentIndex = index
    shelf = Shelf(lambda: given, few=3.0)
    for turn in range(60):
        if random.random() < 0.6:
            items.grow(random.choice(names, int(random.integers(1, 6))).tolist())
        if random.random() < 0.6:
            chosen = random.choice(names, int(random.integers(1, 6))).tolist()
            gone = random.random() < 0.3
            given = given.with_rows({one: EMPTY if gone else row_of(one) for one in chosen})
        if turn == 40:
            items = Vocabulary(items.ids[::2])
        found = shelf.texts(items)
        if found is None:
            assert not len(given)
            continue
        anew = Texts.of(given, items, few=3.0)
        places, rows = np.arange(len(given)), np.arange(len(items))
        assert found.index is given
        assert found.few == 3.0
        assert found.end == anew.end
        assert np.array_equal(found.rows(places), anew.rows(places))
        assert np.array_equal(found.places(rows), anew.places(rows))
        stands = found.rows_of(given.items.ids).tolist()
        assert [found.id(row) for row in stands] == list(given.items.ids)


def test_what_has_not_changed_is_not_looked_up() -> None:
    index, items = index_of("a"), Vocabulary(["a"])
    shelf = Shelf(lambda: index, few=5.0)
    assert shelf.texts(items) is shelf.texts(items)
    assert Shelf(index_of, few=5.0).texts(items) is None
