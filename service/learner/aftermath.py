"""What follows a commit. Each part may be lost to a crash and is made up for at the next start.

The window's samples go into the replay buffer; the log is trimmed up to the head's position, which
the archive holds (an older position is read from there); replicas get a hint; files that nobody
needs any more are dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from service.domain.interactions import Position
from service.domain.versions import FIRST_VERSION, Head, VersionRecord
from service.errors import CorruptEntry
from service.learner.champion import champion
from service.learner.committing import Committed
from service.learner.keeping import worth_keeping
from service.learner.names import admitted_name, draw_name
from service.learner.steps import ADMITTED, NOTIFIED, PRUNED, TRIMMED, Reached
from service.learner.stores import Stores
from service.settings import LearnerSettings
from service.storage.clock import now_ms
from service.storage.presence import LearnerPresence

NameOf = Callable[[Position, int], str]

_FILES_KEPT = 16
"""Latest versions whose draw and samples stay on file, to be admitted again at a start."""


class Aftermath:
    """Puts the other stores right after the head has moved."""

    def __init__(self, stores: Stores, settings: LearnerSettings, reached: Reached) -> None:
        self._stores = stores
        self._settings = settings
        self._reached = reached
        self._dropped: int | None = None
        self._presence = LearnerPresence(stores.client, stores.keys)

    def follow(self, done: Committed, *, keep_files: bool) -> None:
        """After a commit.

        Args:
            keep_files: draws are still wanted by a full retrain that has to catch up.
        """
        head = done.head
        if done.accepted:
            self._admit(self._stores.registry.version(head.tip))
        self._reached(ADMITTED)
        self._stores.log.trim(min(head.position, self._stores.archive.end()))
        self._reached(TRIMMED)
        self._presence.hint(head.generation)
        self._reached(NOTIFIED)
        self._prune(head)
        if not keep_files:
            self._drop_files_up_to(head.tip - _FILES_KEPT)
        self._reached(PRUNED)

    def catch_up(self, head: Head) -> None:
        """Make up for what a crash or a rollback has left: admit again, withdraw what was undone.

        Admitting is idempotent, so nothing needs to be known about how far the last one came.
        """
        registry, buffer = self._stores.registry, self._stores.buffer
        held = buffer.windows()
        buffer.withdraw(held - registry.learned_among(held))
        version: int | None = head.tip
        for _ in range(_FILES_KEPT):
            if version is None or version == FIRST_VERSION:
                break
            record = registry.version(version)
            try:
                self._admit(record)
            except CorruptEntry:  # dropped long ago; it was admitted then
                break
            version = record.parent

    def _admit(self, record: VersionRecord) -> None:
        """Offer the samples that a version was the first to train on to the buffer."""
        window = record.metrics.get("window")
        if window is None or record.window_id is None:
            return
        samples = self._stores.archive.read_draw(_name(window, admitted_name), window["admitted"])
        self._stores.buffer.admit(samples, record.window_id)

    def _prune(self, head: Head) -> None:
        """Drop checkpoints but those of the active version, the tip, the champion and those worth
        keeping. The registry says so first: a version that is still on offer has its files."""
        registry = self._stores.registry
        records = registry.with_files()
        kept = worth_keeping(records, now_ms(), self._settings)
        kept |= {head.active, head.tip, champion(self._stores, head) or FIRST_VERSION}
        registry.prune({record.version for record in records} - kept)
        self._stores.checkpoints.prune(
            [(record.version, record.digest) for record in registry.with_files()]
        )

    def _drop_files_up_to(self, version: int) -> None:
        """Drop draw and samples of versions long past; those that were kept for a while, too."""
        for past in range(self._dropped + 1 if self._dropped else version, version + 1):
            if past > FIRST_VERSION:
                self._drop_files(self._stores.registry.version(past))
        self._dropped = version

    def _drop_files(self, record: VersionRecord) -> None:
        window, archive = record.metrics.get("window"), self._stores.archive
        if window is not None:
            archive.remove_draw(_name(window, draw_name), window["draw_digest"])
            archive.remove_draw(_name(window, admitted_name), window.get("admitted", ""))


def _name(window: dict[str, Any], of: NameOf) -> str:
    return of(Position.parse(window["start"]), int(window["parent"]))
