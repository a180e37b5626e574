"""Ids of answers: they say what they were issued with, and nobody else can make one."""

from __future__ import annotations

import base64

import pytest

from service.storage.receipts import OTHER, Receipts

RECEIPTS = Receipts(b"secret" * 4)


def test_an_id_says_what_it_was_issued_with_to_every_replica() -> None:
    text, issued = RECEIPTS.issue(2**31 - 1, "session", 1_800_000_000_999, None)
    assert text.startswith("r-")
    assert len(text) == 42
    assert Receipts(b"secret" * 4).read(text) == issued
    assert (issued.version, issued.time_s, issued.kind) == (2**31 - 1, 1_800_000_000, "session")
    assert RECEIPTS.issue(2, OTHER, 0, None)[0] != RECEIPTS.issue(2, OTHER, 0, None)[0]


def test_an_id_is_for_its_user_or_for_anybody() -> None:
    text, issued = RECEIPTS.issue(7, "personalized", 0, "ü")
    assert "ü" not in text
    assert RECEIPTS.is_for(issued, "ü")
    assert not RECEIPTS.is_for(issued, "u")
    assert RECEIPTS.is_for(RECEIPTS.issue(7, "session", 0, None)[1], "u")


def test_an_id_with_any_bit_turned_is_none() -> None:
    text, _ = RECEIPTS.issue(7, "fallback", 1_000, "u")
    whole = base64.urlsafe_b64decode(text[2:])
    for bit in range(8 * len(whole)):
        turned = bytearray(whole)
        turned[bit // 8] ^= 1 << bit % 8
        assert RECEIPTS.read("r-" + base64.urlsafe_b64encode(turned).decode()) is None


@pytest.mark.parametrize(
    "text", ["", "r-", "r-1", "x" * 42, "r-" + "ü" * 40, "r-" + "=" * 40, "r-" + "A" * 40]
)
def test_what_was_never_issued_is_none(text: str) -> None:
    assert RECEIPTS.read(text) is None


def test_an_id_of_another_service_is_none() -> None:
    assert RECEIPTS.read(Receipts(b"another").issue(7, "session", 0, None)[0]) is None
