"""What the catalogue's items say of themselves, read beside the counting: lessons hear it, too."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog

from models.content.features import Vectoriser
from models.content.neighbours import ContentIndex
from models.sources import CONTENT
from service.domain.catalogue import Item
from service.errors import Unavailable
from service.sections import ContentSettings
from service.settings import Settings
from service.storage.catalogue import CatalogueStore
from service.vectoriser import make_vectoriser, read_items

_STOP_S = 5.0

log = structlog.get_logger()


class Reader:
    """Follows the catalogue. One thread polls; any may take `index`, which is immutable.

    Args:
        catalogue: where the items are.
        vectoriser: what makes rows of their text.
        settings: how many of them are kept.
    """

    def __init__(
        self, catalogue: CatalogueStore, vectoriser: Vectoriser, settings: ContentSettings
    ) -> None:
        self._catalogue, self._vectoriser = catalogue, vectoriser
        self._index = ContentIndex.empty(vectoriser.width, settings.max_items)
        self._revision = 0

    @property
    def index(self) -> ContentIndex:
        """Features as they are now."""
        return self._index

    def poll(self) -> None:
        """Read what was written since the last time.

        Raises:
            Unavailable: the database does not answer.
        """
        items = self._catalogue.changes_since(self._revision)
        if items:
            self._read(items)
            self._revision = max(item.revision for item in items)

    def _read(self, items: Sequence[Item]) -> None:
        try:
            self._index = self._index.with_rows(read_items(self._vectoriser, items))
        except Exception:  # whatever a text or a model of somebody else's does
            log.exception("content of items is left out of lessons", items=len(items))

    def follow(self, stop: threading.Event, poll_s: float) -> None:
        """Poll until `stop` is set; what is there stays while the database is away."""
        away = False
        while not stop.is_set():
            try:
                self.poll()
                away = False
            except Unavailable as error:
                if not away:
                    log.warning("the catalogue is not read for lessons", error=str(error))
                away = True
            stop.wait(poll_s)


@contextmanager
def reading(
    catalogue: CatalogueStore, settings: Settings
) -> Iterator[Callable[[], ContentIndex] | None]:
    """Read in a thread as long as the block lasts; None where no source or no lesson asks for it.

    Raises:
        SettingsError: the model that `content.model` names cannot be used.
    """
    if not _is_asked(settings):
        yield None
        return
    reader = Reader(catalogue, make_vectoriser(settings.content), settings.content)
    stop, poll_s = threading.Event(), settings.serving.catalogue_poll_s
    thread = threading.Thread(target=reader.follow, args=(stop, poll_s), daemon=True)
    thread.start()
    try:
        yield lambda: reader.index
    finally:
        stop.set()
        thread.join(_STOP_S)


def _is_asked(settings: Settings) -> bool:
    lessons = settings.memory.lessons and settings.memory.lesson_share
    return bool(CONTENT in settings.serving.sources and settings.content.max_items and lessons)
