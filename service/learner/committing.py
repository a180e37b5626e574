"""A lesson becomes a version, or is refused: files first, then one transaction.

The checkpoint's directory is named by its content, and its manifest holds no time, so a second
attempt at the same window finds or makes the same files. Until the transaction they mean nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import structlog

from models.config import LearningConfig
from service.domain.interactions import Position
from service.domain.versions import Head, Origin, WindowRecord
from service.learner.learning import Lesson
from service.learner.names import admitted_name, facts
from service.learner.steps import COMMITTED, WRITTEN, Reached
from service.learner.stores import Stores

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of a lesson."""

    version: int
    """The number of the version that was published or rejected; the tip's when nothing was made."""
    accepted: bool
    head: Head
    """The head after it."""


class Committing:
    """Writes checkpoints and moves the head."""

    def __init__(self, stores: Stores, config: LearningConfig, reached: Reached) -> None:
        self._stores = stores
        self._config = config
        self._reached = reached

    def commit(
        self,
        head: Head,
        window: WindowRecord | None,
        lesson: Lesson,
        origin: Origin = Origin.INCREMENTAL,
    ) -> Committed:
        """Publish the lesson, or refuse it.

        A refused window moves the head's position, so that it cannot come round again; a refused
        full retrain moves nothing.

        Args:
            head: the head that the lesson started from.
            window: what was learned; None for a full retrain, which stands where the head does.

        Raises:
            StaleHead: the head has moved since; nothing was committed.
        """
        registry = self._stores.registry
        version = registry.next_version()
        position = head.position if window is None else window.end
        if window is not None and lesson.accepted:
            lesson.metrics["window"]["admitted"] = self._stores.archive.write_draw(
                admitted_name(window.start, window.parent), lesson.admitted
            )
        digest = self._write(version, head, window, position, lesson, origin)
        self._reached(WRITTEN)
        act = self._publish if lesson.accepted else self._refuse
        after = act(head, window, position, version, digest, lesson, origin)
        self._reached(COMMITTED)
        return Committed(head.tip if digest is None else version, lesson.accepted, after)

    def _write(
        self,
        version: int,
        head: Head,
        window: WindowRecord | None,
        position: Position,
        lesson: Lesson,
        origin: Origin,
    ) -> str | None:
        if lesson.state is None:
            return None
        manifest = {
            "parent": head.tip,
            "origin": origin.value,
            "position": str(position),
            "incarnation": self._stores.registry.incarnation(),
            "window": None if window is None else facts(window),
            "strategy": self._strategy(),
        }
        return self._stores.checkpoints.write(version, lesson.state.export(), manifest)

    def _publish(
        self,
        head: Head,
        window: WindowRecord | None,
        position: Position,
        version: int,
        digest: str | None,
        lesson: Lesson,
        origin: Origin,
    ) -> Head:
        if digest is None:
            raise ValueError("a lesson without a state cannot be published")
        self._stores.registry.publish(
            head,
            [] if window is None else [window.window_id],
            version=version,
            origin=origin,
            position=position,
            digest=digest,
            strategy=self._strategy(),
            metrics=lesson.metrics,
            gate={**lesson.gate, "champion": lesson.champion or version},
        )
        return replace(
            head,
            generation=head.generation + 1,
            tip=version,
            active=head.active if head.pinned else version,
            position=position,
        )

    def _refuse(
        self,
        head: Head,
        window: WindowRecord | None,
        position: Position,
        version: int,
        digest: str | None,
        lesson: Lesson,
        origin: Origin,
    ) -> Head:
        return self._stores.registry.refuse(
            head,
            window,
            gate=lesson.gate,
            metrics=lesson.metrics,
            digest=digest,
            version=version,
            origin=origin,
            position=position,
            strategy=self._strategy(),
        )

    def _strategy(self) -> dict[str, Any]:
        return {**asdict(self._config), "methods": list(self._config.methods)}
