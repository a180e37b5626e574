"""What follows a commit. Each part may be lost to a crash and is made up for at the next start.

The window's samples go into the replay buffer; its events are joined with the answers that they
name; the log is trimmed up to the head's position, which
the archive holds (an older position is read from there); replicas get a hint; files that nobody
needs any more are dropped, and small archive files merged.
"""

from __future__ import annotations

from service.domain.interactions import Position
from service.domain.versions import FIRST_VERSION, Head, VersionRecord, WindowStatus
from service.learner.admitted import admitted_samples, files_of
from service.learner.champion import champion
from service.learner.committing import Committed
from service.learner.joining import Joining
from service.learner.keeping import worth_keeping
from service.learner.names import draw_name
from service.learner.rebuilding import Rebuilding
from service.learner.steps import ADMITTED, JOINED, NOTIFIED, PRUNED, TRIMMED, Reached
from service.learner.stores import Stores
from service.settings import Settings
from service.storage.clock import now_ms
from service.storage.presence import hint

_FILES_KEPT = 16
"""Latest versions whose draw and samples stay on file, to be admitted again at a start."""


class Aftermath:
    """Puts the other stores right after the head has moved."""

    def __init__(
        self,
        stores: Stores,
        settings: Settings,
        rebuilding: Rebuilding,
        joining: Joining,
        reached: Reached,
    ) -> None:
        self._stores = stores
        self._settings = settings
        self._reached = reached
        self._rebuilding = rebuilding
        self._joining = joining

    def follow(self, done: Committed, *, keep_files: bool) -> None:
        """After a commit.

        Args:
            keep_files: draws are still wanted by a full retrain that has to catch up.
        """
        head = done.head
        if done.accepted:
            self._admit(self._stores.registry.version(head.tip))
            self._stores.buffer.stand_for(head.tip)
        self._reached(ADMITTED)
        self._joining.follow()
        self._reached(JOINED)
        self._trim(min(head.position, self._stores.archive.end()))
        self._reached(TRIMMED)
        hint(self._stores.client, self._stores.keys, head.generation)
        self._reached(NOTIFIED)
        self._prune(head)
        self._drop_lessons()
        if not keep_files:
            self._drop_files()
        self._stores.archive.compact()
        self._reached(PRUNED)

    def catch_up(self, head: Head) -> None:
        """Make up for what a crash, a rollback or a wiped server has left.

        The buffer stands for a version. Is that a recent ancestor of the tip, then what was learned
        since is admitted; else the buffer is rebuilt. Admitting is idempotent, so nothing needs to
        be known about how far the last one came.
        """
        self._joining.follow()
        since = self._versions_since(self._stores.buffer.version(), head)
        if since is not None and all(map(self._admit, since)):
            self._stores.buffer.stand_for(head.tip)
            return
        latest = self._stores.registry.versions(_FILES_KEPT)
        by_window = {record.window_id: record for record in latest if record.window_id is not None}
        self._rebuilding.rebuild(head, by_window)

    def _versions_since(self, version: int | None, head: Head) -> list[VersionRecord] | None:
        """The tip's lineage behind `version`, newest first; None when that is not in sight."""
        at: int | None = head.tip
        found: list[VersionRecord] = []
        while at is not None and at != version and len(found) < _FILES_KEPT:
            found.append(self._stores.registry.version(at))
            at = found[-1].parent
        return found if at is not None and at == version else None

    def _trim(self, before: Position) -> None:
        """Drop what the archive holds, but not what the fast memory has still to read: for a while,
        and as long as there is room in the log."""
        held = self._stores.memory.held_until(round(self._settings.memory.hold_s * 1_000))
        if held is not None and self._stores.log.length() < self._settings.log.max_entries // 2:
            before = min(before, held)
        self._stores.log.trim(before)

    def _admit(self, record: VersionRecord) -> bool:
        """Offer the samples that a version was the first to train on to the buffer; False when
        they are gone."""
        samples = admitted_samples(self._stores.archive, record)
        if samples and record.window_id is not None:
            self._stores.buffer.admit(samples, record.window_id)
        return samples is not None

    def _prune(self, head: Head) -> None:
        """Drop checkpoints but those of the active version, the tip, the champion and those worth
        keeping. The registry says so first: a version that is still on offer has its files."""
        registry = self._stores.registry
        records = registry.with_files()
        kept = worth_keeping(records, now_ms(), self._settings.learner)
        kept |= {head.active, head.tip, champion(self._stores, head) or FIRST_VERSION}
        registry.prune({record.version for record in records} - kept)
        self._stores.checkpoints.prune(
            [(record.version, record.digest) for record in registry.with_files()]
        )

    def _drop_lessons(self) -> None:
        """Drop the mixer's lessons but those of the window in work: nobody learns others again."""
        open_ones = self._stores.registry.windows(statuses=(WindowStatus.OPEN,))
        self._stores.archive.keep_lessons(
            {(draw_name(one.start, one.parent), one.lessons_digest) for one in open_ones}
        )

    def _drop_files(self) -> None:
        """Drop the draws and samples that neither the window in work nor one of the latest versions
        names: those of versions long past, and of windows refused, given up or undone."""
        registry = self._stores.registry
        open_ones = registry.windows(statuses=(WindowStatus.OPEN,))
        drawn = {(draw_name(one.start, one.parent), one.draw_digest) for one in open_ones}
        self._stores.archive.keep_draws(drawn | files_of(registry.versions(_FILES_KEPT)))
