"""What a version remembers of the stream itself: functions of the log and the window bounds alone.

Histories (to make samples from), probes (held out for ever, to see forgetting) and pending samples
(held out of one update, trained with the next).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from models.config import LearningConfig
from models.interactions import Event, Histories, Sample
from models.parameters import mix64

_TOP = float(2**64)


def lies_below(key: int, share: float) -> bool:
    """Whether a 64-bit hash falls into the lowest `share` of its range."""
    return (key & 0xFFFF_FFFF_FFFF_FFFF) / _TOP < share


def is_probe(user_key: int, share: float) -> bool:
    """Whether no mode ever trains on this user."""
    return lies_below(user_key, share)


def is_held_out(user_key: int, seed: int, share: float) -> bool:
    """Whether this user's events of the window with this seed are held out of its update."""
    return lies_below(_mixed(user_key, seed), share)


def set_aside(samples: Sequence[Sample], user_keys: Mapping[str, int], seed: int) -> set[str]:
    """The users, a tenth of those of `samples`, at least one and never all, that wait where nobody
    is held out but passes are to be judged."""
    users = sorted({sample.user_id for sample in samples}, key=lambda u: _mixed(user_keys[u], seed))
    return set(users[: max(1, len(users) // 10)]) if len(users) > 1 else set()


def _mixed(user_key: int, seed: int) -> int:
    """64 bits of both."""
    both = np.asarray([user_key & 0xFFFF_FFFF_FFFF_FFFF, seed & 0xFFFF_FFFF_FFFF_FFFF], np.uint64)
    mixed = mix64(both)
    return int(mix64(mixed[:1] ^ (mixed[1:] + np.uint64(1)))[0])


@dataclass(frozen=True, slots=True)
class Split:
    """A window's samples by what may be done with them."""

    train: list[Sample]
    probes: list[Sample]
    holdout: list[Sample]


def divided(
    samples: Sequence[Sample], user_keys: Mapping[str, int], seed: int, config: LearningConfig
) -> Split:
    """A window's samples by user: probes, held out of this window, or trained.

    Probes are judged and never trained on: what their users skipped is not kept.

    Args:
        samples: of the window.
        user_keys: of their users.
        seed: of the window.
        config: the shares; with `patience`, somebody is held out wherever there are two users.
    """
    split = Split([], [], [])
    for sample in samples:
        user_key = user_keys[sample.user_id]
        if is_probe(user_key, config.probe_share):
            split.probes.append(replace(sample, skipped=()))
        elif is_held_out(user_key, seed, config.holdout_share):
            split.holdout.append(sample)
        else:
            split.train.append(sample)
    if config.patience and not split.holdout:
        waiting = set_aside(split.train, user_keys, seed)
        train = [sample for sample in split.train if sample.user_id not in waiting]
        holdout = [sample for sample in split.train if sample.user_id in waiting]
        return Split(train, split.probes, holdout)
    return split


@dataclass(frozen=True, slots=True)
class Band:
    """Probes of some consecutive windows."""

    windows: int
    from_ms: int
    until_ms: int
    samples: tuple[Sample, ...]

    @property
    def queries(self) -> int:
        return sum(sample.num_targets for sample in self.samples)

    def limited(self, queries: int) -> Band:
        """The samples with the lowest keys, at most so many queries (but at least one sample)."""
        if self.queries <= queries:
            return self
        kept: set[int] = set()
        total = 0
        for sample in sorted(self.samples, key=lambda sample: sample.key):
            total += sample.num_targets
            if total > queries and kept:
                break
            kept.add(sample.key)
        samples = tuple(sample for sample in self.samples if sample.key in kept)
        return Band(self.windows, self.from_ms, self.until_ms, samples)

    def joined(self, later: Band) -> Band:
        return Band(
            self.windows + later.windows,
            self.from_ms,
            max(self.until_ms, later.until_ms),
            self.samples + later.samples,
        )


@dataclass(frozen=True, slots=True)
class Probes:
    """Probes in age bands, oldest first, each of about the same number of windows."""

    size: int
    """Queries kept in all."""
    max_bands: int
    bands: tuple[Band, ...] = ()

    def __len__(self) -> int:
        return sum(band.queries for band in self.bands)

    @property
    def samples(self) -> list[Sample]:
        """All of them, oldest band first."""
        return [sample for band in self.bands for sample in band.samples]

    def with_window(self, samples: Sequence[Sample]) -> Probes:
        """These and a window's. A window without probes makes no band.

        When there are too many bands, the two neighbours that cover the fewest windows become one,
        the older ones if several do: so bands stay of like length however long the stream is.
        """
        if not samples:
            return self
        times = [sample.time_ms for sample in samples]
        bands = [*self.bands, Band(1, min(times), max(times), tuple(samples))]
        while len(bands) > max(self.max_bands, 1):
            spans = [older.windows + newer.windows for older, newer in pairwise(bands)]
            at = spans.index(min(spans))
            bands[at : at + 2] = [bands[at].joined(bands[at + 1])]
        each = max(1, self.size // self.max_bands)
        kept = tuple(band.limited(each) for band in bands)
        return Probes(self.size, self.max_bands, kept)


@dataclass(frozen=True, slots=True)
class StreamMemory:
    """Histories, probes and pending samples after some windows."""

    histories: Histories
    probes: Probes
    pending: tuple[Sample, ...] = ()

    def after(
        self, events: Iterable[Event], probes: Sequence[Sample], pending: Sequence[Sample]
    ) -> StreamMemory:
        """The memory after one more window; this one is not changed."""
        histories = self.histories.copy()
        histories.extend(events)
        return StreamMemory(histories, self.probes.with_window(probes), tuple(pending))
