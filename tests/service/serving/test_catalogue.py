"""The catalogue view against a plain dictionary, over many writes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.catalogue import Item
from service.serving import catalogue
from service.serving.catalogue import CatalogueView
from service.serving.catalogue_feed import CatalogueFeed

CATEGORIES = ("a", "b", "c")

writes = st.lists(
    st.builds(
        lambda number, categories, available, deleted, ms: Item(
            f"i{number}",
            categories=tuple(categories),
            available=available,
            deleted=deleted,
            published_ms=ms,
        ),
        st.integers(0, 12),
        st.sets(st.sampled_from(CATEGORIES)),
        st.booleans(),
        st.booleans(),
        st.one_of(st.none(), st.integers(-5, 5)),
    ),
    max_size=60,
)


@pytest.fixture(params=[1_024, 2], ids=["changes", "merged"], autouse=True)
def _merging(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With small views, too, the base is made anew now and then."""
    monkeypatch.setattr(catalogue, "_MIN_CHANGES", request.param)


@settings(deadline=None, max_examples=60)
@given(items=writes, wanted=st.frozensets(st.sampled_from(CATEGORIES)))
def test_a_view_is_what_its_writes_say(items: list[Item], wanted: frozenset[str]) -> None:
    view, known = CatalogueView(), dict[str, Item]()
    for revision, item in enumerate(items, 1):
        item = Item(
            item.item_id,
            categories=item.categories,
            available=item.available,
            deleted=item.deleted,
            published_ms=item.published_ms,
            created_ms=revision,
            revision=revision,
        )
        view, known[item.item_id] = view.with_items([item]), item
    visible = {
        item_id: item
        for item_id, item in known.items()
        if item.available
        and not item.deleted
        and (not wanted or not wanted.isdisjoint(item.categories))
    }
    listed = [item_id for _, item_id in view.newest(wanted)]
    times = [ms for ms, _ in view.newest(wanted)]
    assert sorted(listed) == sorted(visible)
    assert times == sorted(times, reverse=True)
    assert view.revision == len(items)
    assert {name for name in known if view.allows(name, wanted)} == set(visible)
    assert not wanted or view.count(wanted) >= len(visible)
    assert view.allows("never named", wanted) is not bool(wanted)


def test_an_older_write_changes_nothing() -> None:
    view = CatalogueView().with_items([Item("i", available=False, revision=5)])
    assert view.with_items([Item("i", revision=4)]).entry("i") == view.entry("i")


def test_a_view_once_taken_does_not_change() -> None:
    before = CatalogueView().with_items([Item("i", categories=("a",), revision=1)])
    before.with_items([Item("i", deleted=True, revision=2), Item("j", revision=3)])
    assert before.allows("i", frozenset("a"))
    assert [item_id for _, item_id in before.newest(frozenset())] == ["i"]


def test_a_local_write_below_which_another_stands_does_not_hide_it() -> None:
    store = [Item("theirs", revision=1)]
    feed = CatalogueFeed(lambda since: [item for item in store if item.revision > since])
    store.append(Item("ours", revision=2))
    feed.apply([store[-1]])
    assert feed.view.entry("theirs") is None
    feed.poll()
    assert feed.view.entry("theirs") is not None
    assert feed.age_s() is not None
