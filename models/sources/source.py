"""The protocol behind which every source stands."""

from __future__ import annotations

from typing import Protocol

from models.memory.memory import FastMemory
from models.sources.question import Proposal, Question


class Source(Protocol):
    """Proposes candidates; keeps nothing and changes nothing."""

    def propose(self, memory: FastMemory, question: Question) -> Proposal:
        """What may come next, better with a higher score; nothing where it knows nothing."""
        ...
