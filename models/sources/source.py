"""The protocol behind which every source stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from models.memory.memory import FastMemory
from models.sources.question import Proposal, Question


class Source(Protocol):
    """Proposes candidates; keeps nothing and changes nothing."""

    def propose(self, memory: FastMemory, question: Question) -> Proposal:
        """What may come next, better with a higher score; nothing where it knows nothing."""
        ...


class Onward:
    """A source that goes on from what another one says.

    Args:
        first: where it starts from.
    """

    def __init__(self, first: Source) -> None:
        self.first = first

    def propose(self, memory: FastMemory, question: Question) -> Proposal:
        return self.onward(memory, self.first.propose(memory, question))

    def onward(self, memory: FastMemory, first: Proposal) -> Proposal:
        """What it proposes when that one has said `first`."""
        raise NotImplementedError


def proposals(
    sources: Mapping[str, Source], memory: FastMemory, question: Question
) -> dict[str, Proposal]:
    """What each source says; none works out again what another has said before it."""
    said: dict[str, Proposal] = {}
    heard: dict[Source, Proposal] = {}
    for name, source in sources.items():
        if isinstance(source, Onward) and source.first in heard:
            said[name] = source.onward(memory, heard[source.first])
        else:
            said[name] = source.propose(memory, question)
        heard[source] = said[name]
    return said
