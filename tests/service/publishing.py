"""Versions for tests of serving: learned, written and registered as by the learner, without it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from sqlalchemy import Engine

from models.config import LearningConfig
from models.continual.state import LearningState
from models.continual.window import learn_window
from models.interactions import Event
from service.domain.interactions import Position
from service.domain.versions import Origin, VersionRecord
from service.storage.checkpoints import CheckpointStore
from service.storage.hashing import event_key, user_key
from service.storage.registry import Registry

_SECRET = b"tests" * 4


def small_config(encoder: str = "gru") -> LearningConfig:
    """One that learns a small stream in a fraction of a second."""
    return LearningConfig(
        encoder=encoder,
        embedding_dim=16,
        max_history=8,
        num_negatives=32,
        min_steps=5,
        epochs=1,
        holdout_share=0.0,
        probe_share=0.0,
        fisher_samples=64,
    )


def clicks(users: int, items: int, per_user: int = 6, prefix: str = "") -> list[Event]:
    """Two tastes: user n clicks items of its parity."""
    events = []
    for place in range(per_user):
        for user in range(users):
            item = (2 * (user * 7 + place * 3) + user % 2) % items
            user_id, event_id = f"{prefix}u{user}", f"e{place}"
            events.append(
                Event(
                    user_id=user_id,
                    item_id=f"{prefix}i{item}",
                    type="click",
                    weight=1.0,
                    time_ms=1_700_000_000_000 + place,
                    key=event_key(_SECRET, user_id, event_id),
                    user_key=user_key(_SECRET, user_id),
                )
            )
    return events


class Publisher:
    """Learns windows and publishes them, one after the other."""

    def __init__(self, engine: Engine, data_dir: Path, encoder: str = "gru") -> None:
        self.registry = Registry(engine)
        self.checkpoints = CheckpointStore(data_dir / "checkpoints")
        self.state = LearningState.initial(small_config(encoder))

    def publish(self, events: Sequence[Event]) -> VersionRecord:
        """Learn `events` and register the outcome; it is active unless the head is pinned."""
        torch.set_num_threads(1)
        self.state = learn_window(self.state, events, seed=0, draw=()).state
        head, version = self.registry.head(), self.registry.next_version()
        digest = self.checkpoints.write(version, self.state.export(), {})
        after = head.position
        return self.registry.publish(
            head,
            (),
            version=version,
            origin=Origin.INCREMENTAL,
            position=Position(max(after.ms + 1, int(time.time() * 1000)), 0),
            digest=digest,
            strategy=dataclasses.asdict(self.state.config),
            metrics={},
            gate={"verdict": "accepted"},
        )
