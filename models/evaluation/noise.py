"""Noise in what is learned: wrong items, events sent twice, and bots. What is asked stays clean.

A noisy stream has the rows, the vocabulary and the periods of the clean one, so an arm that learns
from it can be asked about the other. Probe users, of whom nothing is learned, are left as they are.

*labels*: a share of the events name another item, drawn uniformly from those seen so far.
*duplicates*: a share of the events come a second time at once, under another id.
*bots*: so many more events are those of users who have thousands each, on a few items.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.evaluation.stream import Ints, Stream
from models.vocabulary import Vocabulary

KINDS = ("labels", "duplicates", "bots")
BOT_EVENTS, BOT_ITEMS = 2_000, 5
"""What one bot does, and on how many items."""


@dataclass(frozen=True, slots=True)
class Noise:
    """What is wrong with a stream.

    Attributes:
        kind: one of KINDS.
        share: events replaced or added, of those that may be learned from.

    Raises:
        ValueError: no such kind, or a share outside of (0, 1].
    """

    kind: str
    share: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"noise: must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if not 0.0 < self.share <= 1.0:
            raise ValueError(f"noise: the share must lie in (0, 1], got {self.share:g}")

    @classmethod
    def parse(cls, text: str) -> Noise:
        """`KIND:SHARE`, such as `labels:0.1`.

        Raises:
            ValueError: it is nothing of the kind.
        """
        kind, colon, share = text.partition(":")
        try:
            number = float(share)
        except ValueError:
            colon = ""
        if not colon:
            raise ValueError(f"noise: must be KIND:SHARE, such as labels:0.1, got {text!r}")
        return cls(kind, number)

    def __str__(self) -> str:
        return f"{self.kind}:{self.share:g}"


def noisy(stream: Stream, noise: Noise, seed: int) -> Stream:
    """`stream` to be learned from, with `noise` drawn by `seed`; it is not changed itself."""
    random = np.random.default_rng(seed)
    learnable = np.flatnonzero(~stream.probe[stream.user])
    count = round(noise.share * len(learnable))
    if noise.kind == "labels":
        return _relabelled(stream, learnable, count, random)
    if noise.kind == "duplicates":
        rows = np.sort(random.choice(learnable, count, replace=False))
        return _with(stream, rows, stream.user[rows], stream.item[rows])
    return _with_bots(stream, np.sort(random.choice(learnable, count)), random)


def _relabelled(stream: Stream, learnable: Ints, count: int, random: np.random.Generator) -> Stream:
    others = stream.items_so_far - 1
    able = learnable[others[learnable] > 0]  # the very first item has no other beside it
    rows = random.choice(able, min(count, len(able)), replace=False)
    drawn = random.integers(others[rows])
    item = stream.item.copy()
    item[rows] = drawn + (drawn >= item[rows])
    return _changed(stream, item=item)


def _with_bots(stream: Stream, rows: Ints, random: np.random.Generator) -> Stream:
    """A bot after the other: each chooses its items where it begins."""
    bots = np.arange(len(rows)) // BOT_EVENTS
    firsts = rows[::BOT_EVENTS]
    menus = random.integers(stream.items_so_far[firsts][:, None], size=(len(firsts), BOT_ITEMS))
    items = menus[bots, random.integers(BOT_ITEMS, size=len(rows))]
    known = len(stream.users)
    users = Vocabulary()
    users.grow(stream.users.ids)
    users.grow(f"bot-{number}-of-{known}" for number in range(len(firsts)))
    probe = np.concatenate([stream.probe, np.zeros(len(firsts), dtype=np.bool_)])
    return _with(stream, rows, known + bots, items, users=users, probe=probe)


def _with(stream: Stream, behind: Ints, user: Ints, item: Ints, **parts: Any) -> Stream:
    """The stream with an event more behind each of the rows `behind` [n], sorted, at its time."""
    rows = np.insert(np.arange(len(stream.user)), behind + 1, behind)
    return _changed(
        stream,
        user=np.insert(stream.user, behind + 1, user),
        item=np.insert(stream.item, behind + 1, item),
        time_ms=stream.time_ms[rows],
        weight=stream.weight[rows],
        types=[stream.types[row] for row in rows],
        kind=stream.kind[rows],
        items_so_far=stream.items_so_far[rows],
        cuts=stream.cuts + np.searchsorted(behind, stream.cuts),
        **parts,
    )


def _changed(stream: Stream, **parts: npt.NDArray[Any] | list[str] | Vocabulary) -> Stream:
    """A copy of which only `parts` are others, arranged anew."""
    changed = copy.copy(stream)
    for name, part in parts.items():
        setattr(changed, name, part)
    changed.arrange()
    return changed
