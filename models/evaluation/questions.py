"""What is asked of an arm: a user, and what they did before now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from models.evaluation.stream import Stream

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Histories:
    """Ragged item rows, oldest first: those of question q lie in `offsets[q]` … `offsets[q+1]`."""

    items: Ints
    """Item rows [H] int64; rows that an arm has not learned are to be passed over."""
    offsets: Ints
    """[B+1] int64."""
    steps: Ints
    """[H] int64: how many steps back; 1 is the last thing (or the last basket) before now."""
    times_ms: Ints
    """[H] int64: when it happened, Unix milliseconds."""

    @property
    def owner(self) -> Ints:
        """The question [H] that each item belongs to."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


@dataclass(frozen=True, slots=True)
class Questions:
    """Q questions; of the stream they show only what came before each, and the type of event that
    is asked for: "what will he buy next" is another question than "what will he click".

    `starts` and `stops` bound the user's history in the stream's user-by-user order; `kinds` are
    places in the stream's `type_names`.
    """

    stream: Stream
    users: Ints
    starts: Ints
    stops: Ints
    kinds: Ints

    def __len__(self) -> int:
        return len(self.users)

    def __getitem__(self, rows: slice) -> Questions:
        return Questions(
            self.stream, self.users[rows], self.starts[rows], self.stops[rows], self.kinds[rows]
        )

    def chosen(self, places: Ints) -> Questions:
        """Those at `places`, in that order."""
        parts = (self.users, self.starts, self.stops, self.kinds)
        return Questions(self.stream, *(part[places] for part in parts))

    @property
    def types(self) -> list[str]:
        """The type of event that each question asks for."""
        return [self.stream.type_names[kind] for kind in self.kinds]

    @property
    def now_ms(self) -> Ints:
        """When each is asked [B]: at the time of its event."""
        return self.stream.sequence_times[self.stops]

    def chunks(self, size: int) -> Iterator[tuple[slice, Questions]]:
        for start in range(0, len(self), size):
            rows = slice(start, min(start + size, len(self)))
            yield rows, self[rows]

    def histories(self, limit: int | None = None) -> Histories:
        """The latest `limit` items of each history, all of them when None."""
        starts = self.starts
        if limit is not None:
            starts = np.maximum(starts, self.stops - limit)
        lengths = self.stops - starts
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        places = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        now = np.repeat(self.stream.step[self.stops], lengths)
        return Histories(
            items=self.stream.sequence_items[places],
            offsets=offsets,
            steps=now - self.stream.step[places],
            times_ms=self.stream.sequence_times[places],
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """The targets [T] of a period or a stretch of it, and what is known of each."""

    question: Ints
    """Which question each target belongs to; a basket's targets share one."""
    user: Ints
    target: Ints
    known: npt.NDArray[np.bool_]
    """The target was seen before the stretch."""
    ader: npt.NDArray[np.bool_]
    """What the ADER reading counts: the target was seen before the period, and so was something in
    the history. It asks the same, however many stretches a period has."""
    new_user: npt.NDArray[np.bool_]
    """The user was not seen before the stretch."""
    returning: npt.NDArray[np.bool_]
    """The target is known and was not seen in the last two periods, nor in this one so far."""
    item_events: Ints
    """How many events of the target may have been learned from before the stretch."""
    user_events: Ints
    """How many events the history holds."""

    def __len__(self) -> int:
        return len(self.target)

    @classmethod
    def joined(cls, stretches: Sequence[Asked]) -> Asked:
        """Those of consecutive stretches as one; questions are numbered on."""
        asked = [int(part.question.max(initial=-1)) + 1 for part in stretches]
        before = np.cumsum([0, *asked])[:-1]
        parts = {
            field.name: np.concatenate([getattr(part, field.name) for part in stretches])
            for field in fields(cls)
        }
        parts["question"] += np.repeat(before, [len(part) for part in stretches])
        return cls(**parts)
