"""The mixing learns with every window, from the lessons that the fast memory has left of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import structlog

from models.continual.hearing import learn_mixing
from models.continual.state import LearningState
from models.mixing.blend import NETWORK
from models.mixing.recorded import Recorded
from service.domain.interactions import START, Position
from service.errors import CorruptEntry
from service.storage.lessons import Told, unpack

log = structlog.get_logger()


class Tutor:
    """Teaches the mixing.

    Args:
        sources: who is asked beside the network; with none, nothing is taught.
    """

    def __init__(self, sources: tuple[str, ...]) -> None:
        self._sources = sources

    def taught(
        self, parent: LearningState, learned: LearningState, lessons: Sequence[Told], seed: int
    ) -> tuple[LearningState, dict[str, Any]]:
        """What a window's lessons make of its version.

        Args:
            parent: the version before, which has not seen what the lessons are of.
            learned: what the window has made of it.

        Returns:
            The version with its mixing, and what is to be said of it. Whatever lessons do to the
            mixing, they do not keep the weights from learning: then it stays as it is.
        """
        if not self._sources:
            return learned, {}
        self._tell(parent)
        until = str(lessons[-1][0]) if lessons else parent.mixing_until
        try:
            mixing, report = learn_mixing(parent, _read(lessons), self._sources, seed=seed)
        except Exception as error:
            log.exception("the mixing could not learn; it stays as it is")
            said: dict[str, Any] = {"error": f"{type(error).__name__}: {error}"[:500]}
            return replace(learned, mixing_until=until), {"mixing": said}
        state = replace(learned, mixing=mixing, mixing_until=until)
        return state, {"mixing": {**report.as_dict(), "until": until}}

    def _tell(self, parent: LearningState) -> None:
        """Say it when others are heard from now on."""
        heard = (*self._sources, NETWORK)
        if parent.mixing is not None and parent.mixing.sources != heard:
            before = parent.mixing.sources
            log.info(
                "the mixing hears other sources; what it knows of the rest stays",
                new=sorted(set(heard) - set(before)),
                gone=sorted(set(before) - set(heard)),
            )


def taught_until(state: LearningState) -> Position:
    """The position of the last lesson that a version has learned."""
    return Position.parse(state.mixing_until) if state.mixing_until else START


def _read(lessons: Sequence[Told]) -> list[Recorded]:
    """Those that can be read."""
    found = []
    for position, data in lessons:
        try:
            found.append(unpack(data))
        except CorruptEntry as error:
            log.warning("a lesson is passed over", position=str(position), error=str(error))
    return found
