"""Takes over the version that the registry's head names: load, verify, warm up, assign.

The watcher is the only writer of the served model; everybody else reads it. A version that cannot
be loaded leaves the old one in place, and the error stands in the watcher's state until it loads.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from service.domain.interactions import START
from service.domain.versions import (
    FIRST_VERSION,
    Head,
    Origin,
    VersionRecord,
    VersionStatus,
)
from service.errors import FreshetError
from service.logs import get_logger
from service.serving.content import ContentFeed
from service.serving.model import ServingModel
from service.storage.checkpoints import CheckpointStore
from service.storage.clock import now_ms
from service.storage.registry import Registry
from service.telemetry import Metrics

_FALLBACK_VERSIONS = 3
_RETRY_S = 5.0

log = get_logger("watcher")

FIRST_RECORD = VersionRecord(
    version=FIRST_VERSION,
    parent=None,
    status=VersionStatus.ACTIVE,
    origin=Origin.INITIAL,
    position=START,
    digest="",
    created_ms=0,
)
"""Stands in for the registry until it has been read once."""


@dataclass(frozen=True, slots=True)
class Served:
    """What a replica serves and since when."""

    model: ServingModel
    generation: int
    since_ms: int
    error: str | None = None
    """Why the version that the head names is not the one being served."""
    head: Head | None = None


class Watcher:
    """Polls the head in a thread of its own.

    Args:
        registry: the head and the versions.
        checkpoints: their files.
        poll_s: seconds between two looks at the head.
        rows: see `ServingModel.load`.
        content: prepares a version for what items say of themselves, where that is read.
    """

    def __init__(
        self,
        registry: Registry,
        checkpoints: CheckpointStore,
        metrics: Metrics,
        *,
        poll_s: float,
        rows: str = "float32",
        content: ContentFeed | None = None,
    ) -> None:
        self._registry = registry
        self._checkpoints = checkpoints
        self._metrics = metrics
        self._poll_s = poll_s
        self._rows = rows
        self._content = content
        self._served = Served(ServingModel.empty(FIRST_RECORD), 0, now_ms())
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._failed: tuple[int, float] | None = None

    @property
    def served(self) -> Served:
        """The current state, replaced in one assignment."""
        return self._served

    def start(self) -> None:
        self._thread.start()

    def poke(self) -> None:
        """Look at the head now."""
        self._wake.set()

    def close(self) -> None:
        self._stop.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()

    def look(self) -> None:
        """Read the head once and take over its active version, or say why not."""
        head = self._registry.head()
        self._metrics.store_up.labels("database").set(1)
        served = self._served
        if served.head is None:
            self._take_first(head)
        elif head.active == served.model.version:
            model = served.model
            if self._content is not None and self._content.due:
                model = self._content.prepare(model)
            self._served = Served(model, head.generation, served.since_ms, None, head)
            self._failed = None
        elif self._may_try(head.active):
            self._take(head, [head.active])

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except FreshetError as error:
                self._metrics.store_up.labels("database").set(0)
                log.warning("the head cannot be read", error=str(error))
            except Exception:  # the thread must outlive anything a file or a driver raises
                log.exception("looking at the head failed")
            self._wake.wait(self._poll_s)
            self._wake.clear()

    def _take_first(self, head: Head) -> None:
        """At start: the active version, else the last three activated before it, else none."""
        before = [
            record
            for record in self._registry.versions(limit=100)
            if record.activated_ms is not None and record.version != head.active
        ]
        before.sort(key=lambda record: record.activated_ms or 0, reverse=True)
        self._take(head, [head.active, *(r.version for r in before[:_FALLBACK_VERSIONS])])

    def _may_try(self, version: int) -> bool:
        if self._failed is None or self._failed[0] != version:
            return True
        return time.monotonic() >= self._failed[1] + _RETRY_S

    def _take(self, head: Head, versions: list[int]) -> None:
        """Serve the first of `versions` that loads; the first one is the one that is meant."""
        error: str | None = None
        for version in versions:
            try:
                model = self._load(version)
            except Exception as problem:  # any broken file: the one being served stays
                self._metrics.model_loads.labels("failed").inc()
                log.error("a version cannot be loaded", version=version, error=repr(problem))
                error = error or f"version {version}: {type(problem).__name__}: {problem}"
                self._failed = (head.active, time.monotonic())
                continue
            self._assign(model, head, error)
            return
        old = self._served
        self._served = Served(old.model, old.generation, old.since_ms, error, head)

    def _assign(self, model: ServingModel, head: Head, error: str | None) -> None:
        generation = head.generation if error is None else 0
        self._served = Served(model, generation, now_ms(), error, head)
        if error is None:
            self._failed = None
        self._metrics.model_loads.labels("succeeded").inc()
        self._metrics.model_version.set(model.version)
        self._metrics.model_learned_until.set((model.learned_until_ms or 0) / 1000)
        log.info("serving a version", version=model.version, items=len(model.items))

    def _load(self, version: int) -> ServingModel:
        started = time.perf_counter()
        record = self._registry.version(version)
        if record.origin is Origin.INITIAL:
            return ServingModel.empty(record)
        bundle = self._checkpoints.load(version, record.digest, parts=("serving",))
        model = ServingModel.load(record, bundle, self._rows)
        self._metrics.model_load_seconds.observe(time.perf_counter() - started)
        return model if self._content is None else self._content.prepare(model)
