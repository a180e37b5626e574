"""The breaker tries once per rest, and closes on success."""

from __future__ import annotations

import pytest

from service.serving.breaker import Breaker


def test_a_broken_store_is_tried_once_per_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("service.serving.breaker.time.monotonic", lambda: now)
    breaker = Breaker(1.0)
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()
    now = 101.0
    assert breaker.allows()
    assert not breaker.allows()
    breaker.succeeded()
    assert breaker.allows()
    assert breaker.allows()
