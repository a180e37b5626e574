"""One running service for the tests that do not break it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.running import Running, serving, two_tastes


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("service") / "data") as running:
        yield running


@pytest.fixture(scope="session")
def taste(service: Running) -> str:
    """The prefix of two tastes that the service has been told of."""
    events = two_tastes("t")
    for first in range(0, len(events), 120):
        service.post("/v1/events", {"events": events[first : first + 120]})
    return "t"
