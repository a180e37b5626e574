"""A service whose first version is made of another one's checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from service.domain.interactions import START
from service.domain.versions import FIRST_VERSION, Origin
from service.learner.status import State
from service.settings import Settings
from service.storage.keys import Keys
from tests.service.learner.world import World, clicks, opened, post, settle, small_settings

LEARNING: dict[str, Any] = {"encoder": "mf", "methods": ("online-ewc",)}


@pytest.fixture
def elsewhere(
    tmp_path: Path, redis_url: str, sqlite_url: str, keys: Keys
) -> Iterator[tuple[World, Path]]:
    """Another service that has learned, and the directory of its latest checkpoint."""
    settings = small_settings(
        tmp_path / "other", redis_url, sqlite_url, f"{keys.namespace}-other", **LEARNING
    )
    with opened(settings) as world:
        post(settings, clicks(200, users=20))
        settle(world.learner())
        record = world.stores.registry.version(world.stores.registry.head().tip)
        yield world, world.stores.checkpoint_dir / f"{record.version}-{record.digest[:12]}"


@contextmanager
def fresh(
    settings: Settings, postgres_url: str, path: Path | None, **learning: Any
) -> Iterator[World]:
    """A service that has learned nothing, with a database of its own."""
    own = small_settings(
        settings.data_dir, str(settings.redis_url), postgres_url, settings.namespace, **learning
    )
    learner = own.learner.model_copy(update={"start_from": path})
    with opened(own.model_copy(update={"learner": learner})) as world:
        yield world


def test_the_first_version_knows_what_the_other_one_knew(
    settings: Settings, postgres_url: str, elsewhere: tuple[World, Path]
) -> None:
    other, path = elsewhere
    theirs = other.state(other.stores.registry.head().tip)
    with fresh(settings, postgres_url, path, **LEARNING) as world:
        settle(world.learner())
        head = world.stores.registry.head()
        record = world.stores.registry.version(head.tip)
        assert head.active == head.tip != FIRST_VERSION
        assert (record.origin, record.parent) == (Origin.TRANSFER, FIRST_VERSION)
        assert (head.position, record.learned_until_ms) == (START, None)
        assert record.metrics["started_from"] == path.name
        state = world.state(head.tip)
        assert list(state.items.ids) == list(theirs.items.ids)
        for name, tensor in theirs.net.snapshot().items():
            assert torch.equal(state.net.snapshot()[name], tensor)
        assert not len(state.memory.histories), "of another log"
        assert not state.dense_state.mean.any()

        post(world.settings, clicks(100, seed=1, users=4))
        settle(world.learner())
        after = world.state(world.stores.registry.head().tip)
        assert world.stores.registry.head().position > START
        assert after.items.ids[: len(theirs.items)] == theirs.items.ids
        gone = theirs.users.row("A12")
        assert torch.equal(after.net.users.rows[gone], theirs.net.users.rows[gone])
        assert bool(theirs.net.users.rows[gone].any()), "a user who has not come is still known"
        origins = [one.origin for one in world.stores.registry.versions(20)]
        assert origins.count(Origin.TRANSFER) == 1, (
            "a learner that starts later starts from no file"
        )


@pytest.mark.parametrize(
    ("learning", "sentence"),
    [
        ({"encoder": "gru"}, "encoder: the state has 'mf', asked for is 'gru'"),
        ({**LEARNING, "embedding_dim": 16}, "embedding_dim: the state has 8, asked for is 16"),
    ],
)
def test_another_structure_is_refused_with_a_sentence(
    settings: Settings,
    postgres_url: str,
    elsewhere: tuple[World, Path],
    learning: dict[str, Any],
    sentence: str,
) -> None:
    _, path = elsewhere
    with fresh(settings, postgres_url, path, **learning) as world:
        post(world.settings, clicks(100))
        assert world.learner().turn() is False
        said = world.status.fields
        assert said["state"] == State.HALTED
        assert sentence in said["detail"]
        assert "learner.start_from" in said["detail"]
        assert world.stores.registry.head().tip == FIRST_VERSION


@pytest.mark.parametrize("damage", ["none", "renamed", "other"])
def test_what_is_no_checkpoint_is_refused(
    settings: Settings, postgres_url: str, elsewhere: tuple[World, Path], damage: str
) -> None:
    _, path = elsewhere
    if damage == "none":
        named = path.parent / "0-000000000000"
    elif damage == "renamed":
        named = path.rename(path.parent / "mine")
    else:
        named = path.rename(path.parent / f"{path.name.split('-')[0]}-000000000000")
    with fresh(settings, postgres_url, named, **LEARNING) as world:
        assert world.learner().turn() is False
        said = world.status.fields
        assert said["state"] == State.HALTED
        words = "not that of its name" if damage == "other" else "is no checkpoint"
        assert words in said["detail"]
