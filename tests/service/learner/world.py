"""A small world for the learner: two tastes that never mix, posted as clients would."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.config import LearningConfig
from models.continual.state import LearningState
from models.parameters import Bundle
from service.domain.interactions import Interaction, Position
from service.domain.weights import EventWeights
from service.learner.learner import Learner
from service.learner.status import Status
from service.learner.stores import Stores, open_stores
from service.sections import LearnerSettings, WindowSettings
from service.settings import Settings
from service.storage import connections
from service.storage.ingest import Ingest
from service.storage.keys import Keys

SMALL: dict[str, Any] = {
    "embedding_dim": 8,
    "max_history": 8,
    "batch_size": 32,
    "epochs": 1,
    "full_epochs": 2,
    "min_steps": 4,
    "num_negatives": 16,
    "fisher_samples": 64,
    "probe_share": 0.1,
    "replay_size": 200,
}


def small_settings(
    data_dir: Path, redis_url: str, database_url: str, namespace: str, **learning: Any
) -> Settings:
    """Settings of a learner that learns windows of 100 events in a moment."""
    return Settings(
        _env_file=None,
        data_dir=data_dir,
        redis_url=redis_url,
        database_url=database_url,
        namespace=namespace,
        device="cpu",
        window=WindowSettings(max_events=100, max_age_s=3_600.0),
        learner=LearnerSettings(threads=1, poll_s=0.02),
        learning=LearningConfig(**{**SMALL, **learning}),
    )


def clicks(count: int, seed: int = 0, users: int = 40, items: int = 30) -> list[Interaction]:
    """Clicks of users who each keep to the items of their side."""
    generator = np.random.default_rng(seed)
    found = []
    for at in range(count):
        user = int(generator.integers(users))
        item = int(generator.integers(items))
        side = "AB"[user % 2]
        found.append(
            Interaction(f"{side}{user}", f"{side}-{item}", "click", 1_000 + at, f"{seed}-{at}")
        )
    return found


def post(settings: Settings, events: Sequence[Interaction], batch: int = 25) -> Position:
    """Append events as the api does, some to an entry; the position of the last entry."""

    async def append() -> Position:
        client = connections.connect_async(str(settings.redis_url), timeout_s=5.0)
        weights = EventWeights(settings.event_types, settings.positive_from)
        ingest = Ingest(client, Keys(settings.namespace), settings.log, weights)
        last = None
        async with client:
            for start in range(0, len(events), batch):
                last = await ingest.append(events[start : start + batch])
        if last is None:
            raise ValueError("no events")
        return last

    return asyncio.run(append())


@dataclass
class World:
    """The stores and a learner over them."""

    settings: Settings
    stores: Stores
    status: Status
    stop: threading.Event = field(default_factory=threading.Event)

    def learner(self, **replaced: Any) -> Learner:
        """A learner as the process would build it."""
        return Learner(self.stores, self.settings, self.status, stop=self.stop, **replaced)

    def state(self, version: int) -> LearningState:
        """A version's state, from its checkpoint."""
        record = self.stores.registry.version(version)
        bundle = self.stores.checkpoints.load(version, record.digest)
        return LearningState.restore(bundle, self.settings.learning)


@contextmanager
def opened(settings: Settings) -> Iterator[World]:
    """A world over `settings`."""
    torch.set_num_threads(1)
    with open_stores(settings) as stores:
        yield World(settings, stores, Status(stores.client, stores.keys))


def settle(learner: Learner, turns: int = 200) -> None:
    """Turn until there is nothing to do.

    Raises:
        TimeoutError: there always was.
    """
    for _ in range(turns):
        if not learner.turn():
            return
    raise TimeoutError(f"still at work after {turns} turns")


def differences(one: Bundle, other: Bundle) -> list[str]:
    """Where two bundles differ, bit for bit."""
    found = [name for name in ("ids", "meta") if getattr(one, name) != getattr(other, name)]
    for part in sorted(set(one.tensors) | set(other.tensors)):
        mine, yours = one.tensors.get(part, {}), other.tensors.get(part, {})
        for name in sorted(set(mine) | set(yours)):
            if name not in mine or name not in yours or not torch.equal(mine[name], yours[name]):
                found.append(f"{part}/{name}")
    return found
