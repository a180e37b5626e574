"""Versions that tests of answers serve; no test changes one."""

from __future__ import annotations

import pytest

from service.serving.model import ServingModel
from service.serving.watcher import FIRST_RECORD
from tests.service.serving.world import LEARNED, version_of


@pytest.fixture(scope="session")
def learned() -> ServingModel:
    """One that has learned `LEARNED`."""
    return version_of(users=20, items=len(LEARNED))


@pytest.fixture(scope="session")
def empty() -> ServingModel:
    """Version 1, which has learned nothing."""
    return ServingModel.empty(FIRST_RECORD)


@pytest.fixture(scope="session")
def models(learned: ServingModel, empty: ServingModel) -> dict[str, ServingModel]:
    """Both, for properties that draw one of them."""
    return {"learned": learned, "empty": empty}


@pytest.fixture(params=["learned", "empty"])
def model(request: pytest.FixtureRequest) -> ServingModel:
    """Each of them."""
    found: ServingModel = request.getfixturevalue(request.param)
    return found
