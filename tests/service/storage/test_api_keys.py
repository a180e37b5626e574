"""Api keys: shown once, kept as digests."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import Engine, text

from service.errors import BadRequest, Conflict, NotFound
from service.storage.api_keys import ApiKeys, KnownKeys, digest


@pytest.fixture
def api_keys(engine: Engine) -> ApiKeys:
    return ApiKeys(engine)


def test_a_token_is_found_by_its_digest_alone(api_keys: ApiKeys, engine: Engine) -> None:
    assert api_keys.known() == KnownKeys({}, made=False)
    token = api_keys.create("shop", ["recommend", "admin", "recommend"])
    assert re.fullmatch(r"fk_[A-Za-z0-9_-]{43}", token)
    assert api_keys.known().valid == {digest(token): ("shop", ("admin", "recommend"))}
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM api_keys")).all()
    assert token not in str(rows)


def test_names_are_unique_until_revoked(api_keys: ApiKeys) -> None:
    first = api_keys.create("shop", ["admin"])
    with pytest.raises(Conflict):
        api_keys.create("shop", ["admin"])
    api_keys.revoke("shop")
    assert api_keys.known().valid == {}
    with pytest.raises(NotFound):
        api_keys.revoke("shop")
    assert api_keys.create("shop", ["admin"]) != first
    assert [(key.name, key.scopes) for key in api_keys.list()] == [("shop", ("admin",))]


def test_a_name_that_cannot_be_stored_is_refused(api_keys: ApiKeys) -> None:
    with pytest.raises(BadRequest):
        api_keys.create("a\0b", [])


def test_a_revoked_key_still_says_that_one_was_made(api_keys: ApiKeys) -> None:
    api_keys.create("shop", ["admin"])
    api_keys.revoke("shop")
    assert api_keys.known() == KnownKeys({}, made=True)
    assert api_keys.list() == []
