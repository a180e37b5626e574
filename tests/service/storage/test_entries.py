"""What is packed is unpacked as it was."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.interactions import MAX_TIME_MS, Interaction
from service.errors import BadRequest
from service.storage import entries
from tests.service.storage.events import click

text = st.text(st.characters(exclude_categories=[]), max_size=5)  # lone surrogates, too
interactions = st.builds(
    Interaction,
    user_id=text,
    item_id=text,
    type=text,
    time_ms=st.integers() | st.sampled_from([-1, 0, MAX_TIME_MS - 1, MAX_TIME_MS]),
    event_id=text,
    value=st.none() | st.floats(),
    recommendation_id=st.none() | text,
)


@given(st.lists(interactions, max_size=4))
def test_whatever_pack_takes_unpack_gives_back(batch: list[Interaction]) -> None:
    try:
        payload = entries.pack(batch)
    except BadRequest:
        return
    fields = {b"v": str(entries.FORMAT).encode(), b"p": payload, b"n": str(len(batch)).encode()}
    assert list(entries.unpack(fields)) == batch


@pytest.mark.parametrize(
    "fields",
    [
        {"time_ms": -1},
        {"time_ms": MAX_TIME_MS},
        {"value": math.nan},
        {"value": math.inf},
        {"item": "\ud800"},
    ],
)
def test_what_unpack_would_refuse_is_not_packed(fields: dict[str, object]) -> None:
    with pytest.raises(BadRequest, match="cannot be logged"):
        entries.pack([click(event_id="fine"), click(**fields)])  # type: ignore[arg-type]
