"""Items that no catalogue entry dates and no list holds: the last to fill an answer."""

from __future__ import annotations

from collections.abc import Container, Sequence

from models.vocabulary import Vocabulary
from service.serving.catalogue import CatalogueView, Dated


class Backlog:
    """Works the undated items out once per model, catalogue and list, not once per answer.

    A walk over all learned ids costs 80 ms per 100,000, of which an answer needs a few. Belongs to
    the ranking thread.
    """

    def __init__(self) -> None:
        self._known: tuple[Container[str], Vocabulary, Sequence[Dated]] | None = None
        self._items: tuple[Dated, ...] = ()

    def items(
        self, view: CatalogueView, learned: Vocabulary, older: Sequence[Dated]
    ) -> tuple[Dated, ...]:
        """`older`, then what is only learned, latest first at time 0; without those that the
        catalogue has had an entry for since before its latest few changes."""
        known = self._known
        if known is None or not (
            known[0] is view.ground and known[1] is learned and known[2] is older
        ):
            ground = view.ground
            self._items = (
                *(dated for dated in older if dated[1] not in ground),
                *((0, item_id) for item_id in reversed(learned.ids) if item_id not in ground),
            )
            self._known = (ground, learned, older)
        return self._items
