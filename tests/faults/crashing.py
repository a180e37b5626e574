"""Learners in processes of their own that die where they are told to."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.context import ForkServerProcess
from typing import Any

import redis
import torch

from models.continual.state import LearningState
from models.continual.window import Candidate, learn_window
from models.interactions import Event, Sample
from models.parameters import Bundle
from service.domain.interactions import Interaction
from service.domain.online import Shown
from service.domain.recommendations import PERSONALIZED
from service.learner.learner import Learner
from service.learner.steps import STEPS
from service.settings import Settings
from service.storage import database
from service.storage.clock import now_ms
from service.storage.database import reading, writing
from service.storage.keys import Keys
from service.storage.online import Figures, Given, OnlineStore
from service.storage.receipts import Receipts
from service.storage.registry import Registry
from service.storage.tables import Secret
from tests.service.learner.world import opened, settle

TRAINING = "training"
"""In the middle of the update, beside the named steps."""
PLACES = (*STEPS[:4], TRAINING, *STEPS[4:])
DIED = 137

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.faults.crashing"])


def start(settings: Settings, place: str | None = None, occasion: int = 1) -> ForkServerProcess:
    """Start a learner that learns all there is and ends.

    Args:
        place: where it dies, as if its power were cut; None: nowhere.
        occasion: at the how-manieth time it comes there.
    """
    process = _processes.Process(
        target=_learn_all, args=(settings.model_dump(mode="json"), place, occasion), daemon=True
    )
    process.start()
    return process


def run(settings: Settings, place: str | None = None, occasion: int = 1) -> int:
    """`start` and wait; the exit status."""
    process = start(settings, place, occasion)
    process.join(60)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError("the learner does not end")
    return process.exitcode


def _learn_all(settings: dict[str, Any], place: str | None, occasion: int) -> None:
    torch.set_num_threads(1)
    visits = {"left": occasion}

    def reached(step: str) -> None:
        if step == place:
            visits["left"] -= 1
            if visits["left"] == 0:
                os._exit(DIED)

    with opened(Settings(_env_file=None, **settings)) as world:
        learn = _dying_learn(reached)
        settle(
            Learner(
                world.stores,
                world.settings,
                world.status,
                stop=threading.Event(),
                reached=reached,
                learn=learn,
            )
        )
    if needless := {"sympy", "torch._dynamo"}.intersection(sys.modules):
        raise ImportError(f"{needless}: seconds of every learner's start, and for nothing")


def _dying_learn(reached: Callable[[str], None]) -> Callable[..., Candidate]:
    def learn(
        parent: LearningState,
        events: Sequence[Event],
        *,
        seed: int,
        draw: Sequence[Sample],
        device: str,
        rate: float,
        progress: Callable[[float], None] | None,
    ) -> Candidate:
        half = {"passed": False}

        def watched(share: float) -> None:
            if share >= 0.5 and not half["passed"]:
                half["passed"] = True
                reached(TRAINING)

        return learn_window(
            parent, events, seed=seed, draw=draw, device=device, rate=rate, progress=watched
        )

    return learn


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that learning leaves, to be compared."""

    tip: Bundle
    windows: list[tuple[str, str, int, str, str, int]]
    samples: list[Sample]
    archived: list[tuple[str, str, bool]]
    archive_files: list[str]
    joined: Figures
    """What the events say of the answers that they name."""


def outcome(settings: Settings) -> Outcome:
    """What stands in the stores of `settings`."""
    with opened(settings) as world:
        registry = world.stores.registry
        record = registry.version(registry.head().tip)
        return Outcome(
            tip=world.stores.checkpoints.load(record.version, record.digest),
            windows=[
                (str(w.start), str(w.end), w.seed, w.draw_digest, w.status.value, w.events)
                for w in registry.windows()
            ],
            samples=world.stores.buffer.samples(),
            archived=[
                (str(row.position), row.interaction.event_id, row.repeat)
                for row in world.stores.archive.read()
            ],
            archive_files=sorted(
                path.name for path in (settings.data_dir / "archive/events").iterdir()
            ),
            joined=replace(_online(settings, world.stores.client).figures(), bytes=0),
        )


def give(settings: Settings, events: Sequence[Interaction]) -> list[Interaction]:
    """Answers to the events' users, kept, that held the items; the events, naming them."""
    engine = database.connect(str(settings.database_url))
    receipts = Receipts(Registry(engine).secret())
    engine.dispose()
    named, given, now = [], [], now_ms()
    for event in events:
        id_, receipt = receipts.issue(1, PERSONALIZED, now, event.user_id)
        shown = Shown(1, (event.item_id, "other"), ("model", "popular"))
        given.append(Given(receipt.nonce, now, shown, shown.counts(None)))
        named.append(replace(event, recommendation_id=id_))
    with redis.Redis.from_url(str(settings.redis_url)) as client:
        _online(settings, client).keep(given, {1: 10}, now)
    return named


def _online(settings: Settings, client: redis.Redis) -> OnlineStore:
    return OnlineStore(client, Keys(settings.namespace), settings.online)


def twin(settings: Settings, name: str, database_url: str | None = None) -> Settings:
    """The same log and the same secret in stores of their own.

    Args:
        settings: a service whose learner has not run yet.
        name: of the twin's namespace and directory.
        database_url: a migrated database; None copies that of `settings`, which is SQLite.
    """
    namespace, data_dir = f"{settings.namespace}-{name}"[:32], settings.data_dir.parent / name
    with redis.Redis.from_url(str(settings.redis_url)) as client:
        for key in client.scan_iter(f"{Keys(settings.namespace).prefix}:*"):
            copied = key.replace(settings.namespace.encode(), namespace.encode(), 1)
            client.restore(copied, 0, client.dump(key))
    if database_url is None:
        database_url = f"sqlite:///{data_dir}.sqlite"
        shutil.copyfile(str(settings.database_url).removeprefix("sqlite:///"), f"{data_dir}.sqlite")
    else:
        _copy_secret(str(settings.database_url), database_url)
    changed = {"namespace": namespace, "data_dir": data_dir, "database_url": database_url}
    return settings.model_copy(update=changed)


def _copy_secret(of: str, to: str) -> None:
    source, target = database.connect(of), database.connect(to)
    secret = Registry(source).secret()
    with writing(target) as session:
        session.add(Secret(name="hashes", value=secret))
    with reading(target) as session:
        assert session.get_one(Secret, "hashes").value == secret
    source.dispose()
    target.dispose()


def make_secret(settings: Settings) -> None:
    """Let the registry make its secret before it is copied."""
    engine = database.connect(str(settings.database_url))
    Registry(engine).secret()
    engine.dispose()
