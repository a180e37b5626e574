"""Sources of candidates: each says, of a question and the fast memory, what may come next."""

from __future__ import annotations

from models.memory.memory import FAST, TRENDING
from models.sources.content import Content
from models.sources.covisits import COVISITS, Walk
from models.sources.latest import Latest
from models.sources.neighbours import Neighbours
from models.sources.own import Own
from models.sources.popular import Popular
from models.sources.question import Proposal, Question
from models.sources.rules import Rules
from models.sources.source import Source

__all__ = ["CONTENT", "PRIOR", "SOURCES", "Proposal", "Question", "Source"]

CONTENT = "content"
"""The one that asks what items say of themselves."""

SOURCES: dict[str, Source] = {
    "covisits": COVISITS,
    "walk": Walk(),
    "rules": Rules(),
    "neighbours": Neighbours(),
    "sets": Neighbours(decay=None, reach=100),
    "own": Own(),
    "trending": Popular(TRENDING),
    "fast-popular": Popular(FAST),
    "latest": Latest(),
    CONTENT: Content(),
}
"""All of them by name, in the order in which the mixer hears them."""

PRIOR: dict[str, float] = {
    "covisits": 0.5,
    "walk": 1.0,
    "rules": 0.5,
    "neighbours": 1.0,
    "sets": 0.5,
    "own": 0.2,
    "trending": 0.02,
    "fast-popular": 0.02,
    "latest": 0.01,
    CONTENT: 0.1,
}
"""What the word of each is worth before anything is learned; any other's is worth 1. What everybody
takes only orders what nothing else is known of."""
