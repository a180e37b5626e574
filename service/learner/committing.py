"""A lesson becomes a version, or is refused: files first, then one transaction.

The checkpoint's directory is named by its content, and its manifest holds no time, so a second
attempt at the same window finds or makes the same files. Until the transaction they mean nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from models.config import LearningConfig
from service.domain.interactions import Position
from service.domain.versions import Head, Origin, WindowRecord
from service.learner.learning import Lesson
from service.learner.names import admitted_name, facts
from service.learner.steps import COMMITTED, WRITTEN, Reached
from service.learner.stores import Stores


@dataclass(frozen=True, slots=True)
class Work:
    """What a lesson was taught on: the head it started from, and the window.

    `window` is None for a full retrain, which stands where the head does.
    """

    head: Head
    window: WindowRecord | None
    origin: Origin

    @property
    def position(self) -> Position:
        """How far the log is learned with it."""
        return self.head.position if self.window is None else self.window.end


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of a lesson."""

    version: int
    """The number of the version published or rejected; the tip's when there are no files."""
    accepted: bool
    head: Head
    """The head after it."""


class Committing:
    """Writes checkpoints and moves the head."""

    def __init__(self, stores: Stores, config: LearningConfig, reached: Reached) -> None:
        self._stores = stores
        self._strategy = {**asdict(config), "methods": list(config.methods)}
        self._reached = reached

    def commit(self, work: Work, lesson: Lesson) -> Committed:
        """Publish the lesson, or refuse it.

        A refused window moves the head's position, so that it cannot come round again; a refused
        full retrain moves nothing.

        Raises:
            StaleHead: the head has moved since; nothing was committed.
        """
        version = self._stores.registry.next_version()
        digest = self._write(version, work, lesson)
        self._reached(WRITTEN)
        if lesson.accepted and digest is not None:
            head = self._publish(version, digest, work, lesson)
        else:
            head = self._refuse(version, digest, work, lesson)
        self._reached(COMMITTED)
        return Committed(work.head.tip if digest is None else version, lesson.accepted, head)

    def _write(self, version: int, work: Work, lesson: Lesson) -> str | None:
        """The files; the digest of the checkpoint, None when there is no state to keep."""
        window = work.window
        if window is not None and lesson.accepted:
            lesson.metrics["window"]["admitted"] = self._stores.archive.write_draw(
                admitted_name(window.start, window.parent), lesson.admitted
            )
        if lesson.state is None:
            return None
        manifest = {
            "parent": work.head.tip,
            "origin": work.origin.value,
            "position": str(work.position),
            "incarnation": self._stores.registry.incarnation(),
            "window": None if window is None else facts(window),
            "strategy": self._strategy,
        }
        return self._stores.checkpoints.write(version, lesson.state.export(), manifest)

    def _publish(self, version: int, digest: str, work: Work, lesson: Lesson) -> Head:
        """The head after it, told from the one before: a rollback since is no part of it."""
        self._stores.registry.publish(
            work.head,
            [] if work.window is None else [work.window.window_id],
            gate={**lesson.gate, "champion": lesson.champion or version},
            **self._record(version, digest, work, lesson),
        )
        return replace(
            work.head,
            generation=work.head.generation + 1,
            tip=version,
            active=work.head.active if work.head.pinned else version,
            position=work.position,
        )

    def _refuse(self, version: int, digest: str | None, work: Work, lesson: Lesson) -> Head:
        return self._stores.registry.refuse(
            work.head,
            work.window,
            gate=lesson.gate,
            **self._record(version, digest, work, lesson),
        )

    def _record(
        self, version: int, digest: str | None, work: Work, lesson: Lesson
    ) -> dict[str, Any]:
        return {
            "version": version,
            "digest": digest,
            "origin": work.origin,
            "position": work.position,
            "strategy": self._strategy,
            "metrics": lesson.metrics,
        }
