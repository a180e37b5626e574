"""Two stages in one place: sources propose, their union is described, the mixer ranks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from models.memory.memory import FastMemory
from models.mixing.features import Candidates, Features, describe, union
from models.sources import SOURCES, Proposal, Question, Source
from models.sources.question import NOTHING, Floats, Ints
from models.sources.source import proposals

NETWORK = "network"
TOP = 100
"""Candidates that each source brings in."""


class Ranking(Protocol):
    """What the network says of one question; see `Network` for one of all items."""

    def best(self, k: int) -> Proposal:
        """Its k best items, scores above 0."""
        ...

    def of(self, items: Ints) -> Floats:
        """Its scores [n] of any items, on the same scale; 0 where it has no opinion."""
        ...


@dataclass(frozen=True, slots=True)
class Blend:
    """The sources that are asked, and how many candidates each brings in.

    Attributes:
        sources: by name; the network, which is told of apart, is one more.
        top: candidates of each.
    """

    sources: Mapping[str, Source]
    top: int = TOP

    @classmethod
    def of(cls, names: tuple[str, ...] = tuple(SOURCES), top: int = TOP) -> Blend:
        return cls({name: SOURCES[name] for name in names}, top)

    @property
    def names(self) -> tuple[str, ...]:
        """Whom the mixer hears, in its order."""
        return (*self.sources, NETWORK)

    def draft(
        self,
        memory: FastMemory,
        question: Question,
        network: Ranking | None = None,
        allowed: Ints | None = None,
    ) -> tuple[Candidates, dict[str, Proposal]]:
        """The candidates, described; and what each source said.

        Args:
            network: what the network says; None where it has nothing to say.
            allowed: the items, ascending, of which alone sources bring in their best; None: all.
        """
        said = proposals(self.sources, memory, question)
        if allowed is not None:
            said = {name: proposal.only(allowed) for name, proposal in said.items()}
        best = self._best(said)
        likely = NOTHING if network is None else network.best(self.top)
        items = union([*best.values(), likely.items])
        said[NETWORK] = _of_network(network, items)
        best[NETWORK] = said[NETWORK].best(self.top)
        return Candidates(items, describe(memory, question, items, said, best)), said

    def described(
        self, memory: FastMemory, question: Question, said: Mapping[str, Proposal], items: Ints
    ) -> Features:
        """Any items [n] of the memory, in any order, among the candidates of a draft: [n, F].

        Args:
            said: what each source said, from the draft.
        """
        best = self._best(said)
        every = union([*best.values(), items])
        return describe(memory, question, every, said, best)[np.searchsorted(every, items)]

    def _best(self, said: Mapping[str, Proposal]) -> dict[str, Ints]:
        return {name: proposal.best(self.top) for name, proposal in said.items()}


def _of_network(network: Ranking | None, items: Ints) -> Proposal:
    if network is None or not len(items):
        return NOTHING
    scores = network.of(items)
    known = scores > 0.0
    return Proposal(items[known], scores[known])
