"""Events that name an answer, joined with it: exactly once, with a position of its own.

It follows the archive, where every event stands once, in the order of the log, flagged if it came
before. The position moves in the step that counts, so a stretch that two learners read, or one
learner twice, counts once. Whether an id has expired is told by the log's clock: whoever joins, and
whenever, decides alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from itertools import groupby

from service.domain.interactions import IMPRESSION, SKIP, Interaction, Position
from service.domain.online import CONVERTED, POSITIVE, SKIPPED, Heard
from service.domain.weights import EventWeights
from service.sections import OnlineSettings
from service.storage.archive import Archive
from service.storage.clock import HOUR_MS
from service.storage.online import OnlineStore
from service.storage.parquet import ArchivedEvent
from service.storage.receipts import Receipt, Receipts

_STRETCH = 1_000
"""Events joined in one step, about: entries are never split."""


class Joining:
    """Joins what the archive holds with the answers that are kept.

    Args:
        archive: followed from where it was left.
        store: holds answers, counts and the position.
        receipts: reads the ids.
        weights: which events are positive.
        settings: how long ids are good, and what a conversion is.
    """

    def __init__(
        self,
        archive: Archive,
        store: OnlineStore,
        receipts: Receipts,
        weights: EventWeights,
        settings: OnlineSettings,
    ) -> None:
        self._archive = archive
        self._store = store
        self._receipts = receipts
        self._weights = weights
        self._conversions = frozenset(settings.conversion_types)
        self._life_ms = round(settings.hours * HOUR_MS)
        self._measures = settings.answers > 0

    def follow(self) -> None:
        """Join what was archived since the last time; the first time, as far back as ids are good.

        Raises:
            Unavailable: the log's server does not answer; what was joined stays so.
            CorruptEntry: a file of the archive cannot be read.
        """
        if not self._measures:
            return
        start = self._store.position()
        after = start or Position(max(self._archive.end().ms - self._life_ms, 0), 0)
        for rows in _stretches(self._archive.read(after)):
            end = rows[-1].position
            if not self._join(start, end, rows):
                return
            start = end

    def heard(self, names: Collection[str], rows: Iterable[ArchivedEvent]) -> dict[str, Heard]:
        """What has been heard of answers by the end of `rows`, of those that are kept; nothing is
        counted by it.

        Args:
            names: of the answers.
            rows: what the log says behind what is joined; of what is joined, too, changes nothing.

        Raises:
            Unavailable: the log's server does not answer.
        """
        heard = self._store.recall(sorted(names))
        for receipt, event in self._naming(rows if heard else ()):
            if isinstance(receipt, Receipt):
                self._heard(heard.get(receipt.nonce), event)
        return heard

    def _join(self, start: Position | None, end: Position, rows: list[ArchivedEvent]) -> bool:
        total: dict[str, float] = defaultdict(float)
        named: list[tuple[Receipt, Interaction]] = []
        for found, event in self._naming(rows):
            if isinstance(found, Receipt):
                named.append((found, event))
            else:
                total[f"events:{found}"] += 1
        heard = self._store.recall(sorted({receipt.nonce for receipt, _ in named}))
        versions: dict[int, dict[str, float]] = defaultdict(partial(defaultdict, float))
        for receipt, event in named:
            counts, outcome = self._heard(heard.get(receipt.nonce), event)
            total[f"events:{outcome}"] += 1
            for field, number in counts.items():
                total[field] += number
                versions[receipt.version][field] += number
        return self._store.join(start, end, heard, total, versions)

    def _naming(self, rows: Iterable[ArchivedEvent]) -> Iterator[tuple[Receipt | str, Interaction]]:
        """The events that name an answer, none of them twice: its receipt, or why there is none."""
        for row in rows:
            event = row.interaction
            if event.recommendation_id is not None and not row.repeat:
                found = self._receipts.checked(
                    event.recommendation_id, event.user_id, row.position.ms, self._life_ms
                )
                yield found, event

    def _heard(self, answer: Heard | None, event: Interaction) -> tuple[dict[str, float], str]:
        """What the event adds to the counts of its answer, and what became of it."""
        if answer is None:
            return {}, "unknown"
        positive = self._weights.weight(event.type, event.value) > 0
        kinds = (
            (positive, POSITIVE),
            (event.type in self._conversions, CONVERTED),
            (event.type == SKIP, SKIPPED),
        )
        what = sum(kind for holds, kind in kinds if holds)
        counts = answer.hear(event.item_id, what, impression=event.type == IMPRESSION)
        return ({}, "not-shown") if counts is None else (counts, "joined")


def _stretches(rows: Iterable[ArchivedEvent]) -> Iterator[list[ArchivedEvent]]:
    """Whole entries, some together."""
    stretch: list[ArchivedEvent] = []
    for _, entry in groupby(rows, key=lambda row: row.position):
        stretch += entry
        if len(stretch) >= _STRETCH:
            yield stretch
            stretch = []
    if stretch:
        yield stretch
