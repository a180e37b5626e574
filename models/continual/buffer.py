"""What a replay buffer keeps: the lowest keys, as many as fit into so many samples and bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Protocol, TypeVar

import numpy as np

from models.interactions import Sample

Kept = TypeVar("Kept")
"""What stands for a sample where it is kept: itself, or its name."""

NO_BAR = 2**64
"""Above every key."""


class Buffer(Protocol):
    """A bounded uniform sample of everything that was offered, wherever it lies.

    Kept is, of all samples ever offered, the beginning of their order by key: at most `size`
    samples and, where `max_bytes` is not 0, each one of which the samples before it leave room for
    the largest sample ever offered (`sample_bytes`). So the bytes never exceed `max_bytes`, and
    whether a sample stays does not hang on its own length. A sample that is larger than
    `max_bytes` by itself counts as not offered.

    Keys are keyed hashes, so this is a uniform sample whatever the order, however often and in
    whatever parts samples are offered. For that a buffer remembers the lowest key that it has let
    go of, and takes nothing from there on, even where it would fit.

    Sources: bottom-k sketches, Cohen and Kaplan, 2007; budgets as adaptive thresholds, Ting, 2022
    (arXiv 1708.04970). Deviation: the room for the largest. To keep whatever fits would prefer
    short samples, by the share s/`max_bytes` that a sample of s bytes has of the budget: the one
    that crosses the line is more often a long one. Here it is kept. What remains is of order s over
    the bytes of all that was ever offered.
    """

    @property
    def size(self) -> int:
        """Samples kept at most."""
        ...

    @property
    def max_bytes(self) -> int:
        """Bytes kept at most; 0 is no bound."""
        ...

    def __len__(self) -> int: ...

    def stored_bytes(self) -> int:
        """Bytes of the samples kept, by `sample_bytes`."""
        ...

    def admit(self, samples: Iterable[Sample], window_id: int = 0) -> None:
        """Offer a window's samples. One that is known by its key is known."""
        ...

    def draw(self, n: int, seed: int) -> list[Sample]:
        """`n` of the samples kept, or all when there are fewer; see `draw_rule`."""
        ...


@dataclass(frozen=True, slots=True)
class _Entry:
    sample: Sample
    size: int
    window_id: int


class BottomK:
    """The buffer in memory.

    Args:
        size: samples kept at most.
        max_bytes: bytes kept at most; 0 is no bound.

    Raises:
        ValueError: either is negative.
    """

    def __init__(self, size: int, max_bytes: int = 0) -> None:
        for name, value in (("size", size), ("max_bytes", max_bytes)):
            if value < 0:
                raise ValueError(f"{name}: must be at least 0, got {value}")
        self.size = size
        self.max_bytes = max_bytes
        self.bar = NO_BAR
        """The lowest key that was let go of."""
        self.largest = 0
        """Bytes of the largest sample offered."""
        self._bytes = 0
        self._kept: dict[int, _Entry] = {}
        self._highest: list[int] = []  # a heap of the keys' negatives

    def __len__(self) -> int:
        return len(self._kept)

    def stored_bytes(self) -> int:
        return self._bytes

    def admit(self, samples: Iterable[Sample], window_id: int = 0) -> None:
        for sample in samples:
            size = sample_bytes(sample)
            if 0 < self.max_bytes < size:
                continue
            self.largest = max(self.largest, size)
            if sample.key < self.bar and sample.key not in self._kept:
                self._kept[sample.key] = _Entry(sample, size, window_id)
                heappush(self._highest, -sample.key)
                self._bytes += size
            while self._is_over():
                self.bar = -heappop(self._highest)
                self._bytes -= self._kept.pop(self.bar).size

    def draw(self, n: int, seed: int) -> list[Sample]:
        return draw_rule([self._kept[key].sample for key in sorted(self._kept)], n, seed)

    def by_window(self) -> dict[int, list[Sample]]:
        """The samples kept, by the window that brought them, in the order of their keys."""
        found: dict[int, list[Sample]] = {}
        for key in sorted(self._kept):
            entry = self._kept[key]
            found.setdefault(entry.window_id, []).append(entry.sample)
        return found

    def _is_over(self) -> bool:
        if not self._kept:
            return False
        before = self._bytes - self._kept[-self._highest[0]].size
        full = self.max_bytes > 0 and before > self.max_bytes - self.largest
        return full or len(self._kept) > self.size


def draw_rule(candidates: Sequence[Kept], n: int, seed: int) -> list[Kept]:
    """The draw that a seed stands for: `n` without replacement, or all, from those in key order.

    The same rule whatever holds the samples, so that the same buffer gives the same draw.
    """
    size = min(n, len(candidates))
    if size <= 0:
        return []
    chosen = np.random.default_rng(seed).choice(len(candidates), size=size, replace=False)
    return [candidates[int(place)] for place in chosen]


def sample_bytes(sample: Sample) -> int:
    """Bytes of a sample as it is stored: its ids, types, weights, key and time, and where anything
    was skipped that, in MessagePack.

    What a store adds to find it again, names and indices, is not counted. Every budget and every
    figure in bytes means this; a test holds it to what `service.storage.samples.pack` writes.
    """
    texts = (sample.user_id, *sample.item_ids, *sample.types, *sample.skipped)
    lists = [sample.item_ids, sample.types, sample.weights]
    lists += [sample.skipped] if sample.skipped else []
    numbers = (sample.num_targets, sample.key, sample.time_ms)
    return (
        _FRAME
        + sum(_text_bytes(text) for text in texts)
        + sum(1 if len(part) < 16 else 3 if len(part) < 2**16 else 5 for part in lists)
        + _FLOAT * len(sample.weights)
        + sum(map(_number_bytes, numbers))
    )


_FRAME = 3
"""The format's number and the two arrays around everything."""
_FLOAT = 9


def _text_bytes(text: str) -> int:
    length = len(text.encode())
    return length + (1 if length < 32 else 2 if length < 2**8 else 3 if length < 2**16 else 5)


def _number_bytes(number: int) -> int:
    if number < 0:
        number, steps = ~number, (2**5, 2**7, 2**15, 2**31)
    else:
        steps = (2**7, 2**8, 2**16, 2**32)
    sizes = zip(steps, (1, 2, 3, 5), strict=True)
    return next((size for below, size in sizes if number < below), 9)
