"""What happened, as training sees it: events, samples, batches, and every user's latest items.

Legend: B batch, S sequence. Outside of a batch everything is named by the caller's own ids, so that
samples outlive the version whose rows they were trained into.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Rows = npt.NDArray[np.int64]

START = -1
"""The input before a user's first item; also fills up short sequences, where no target follows."""
NO_TARGET = -1
NO_HEAD = -1
NO_ITEM = -1

MOST_SKIPPED = 8
"""Skipped items that a sample remembers at most: the latest ones."""


@dataclass(frozen=True, slots=True)
class Event:
    """One interaction as the model learns it.

    `weight` above 0 is a positive signal. `skip` marks an item that was seen and passed over, which
    no positive event is: the user's samples remember it. Training ignores all others. `key` is the
    keyed hash of (user id, event id) and `user_key` that of the user id, both in 0 … 2⁶⁴−1, made by
    the caller: models know no secret.
    """

    user_id: str
    item_id: str
    type: str
    weight: float
    time_ms: int
    key: int
    user_key: int
    skip: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """A stretch of one user's items, oldest first, of which the last `num_targets` are targets.

    Each target is predicted from all items before it (the first of a user from START alone).
    `types` and `weights` belong to the targets; `key` and `time_ms` are those of the last target.
    `skipped` are items that the user passed over among them, each once, the latest last: ids that
    need be nobody's, at most `MOST_SKIPPED` of them.
    """

    user_id: str
    item_ids: tuple[str, ...]
    num_targets: int
    types: tuple[str, ...]
    weights: tuple[float, ...]
    key: int
    time_ms: int
    skipped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.num_targets <= len(self.item_ids):
            raise ValueError(
                f"num_targets: must lie in 1 … {len(self.item_ids)}, got {self.num_targets}"
            )
        if len(self.types) != self.num_targets or len(self.weights) != self.num_targets:
            raise ValueError("types and weights: one for each target")


class Histories:
    """The latest `size` items of every user, in log order. Copies are cheap and independent."""

    def __init__(self, size: int, items: Mapping[str, tuple[str, ...]] | None = None) -> None:
        if size < 1:
            raise ValueError(f"size: must be at least 1, got {size}")
        self.size = size
        self._items: dict[str, tuple[str, ...]] = dict(items or {})

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, user_id: str) -> tuple[str, ...]:
        """The user's latest items, oldest first; empty for a user not met."""
        return self._items.get(user_id, ())

    def users(self) -> Iterable[str]:
        return self._items.keys()

    def copy(self) -> Histories:
        """A copy that can be extended without changing this one (tuples are shared)."""
        return Histories(self.size, self._items)

    def extend(self, events: Iterable[Event]) -> None:
        """Take the positive events in, keeping the latest `size` items of each user."""
        for user_id, told in _by_user(events).items():
            items = self[user_id] + tuple(event.item_id for event in told.taken)
            self._items[user_id] = items[-self.size :]

    def samples(self, events: Iterable[Event]) -> list[Sample]:
        """Every positive event as the target of one sample, in order of the users' first events.

        A user's events are cut into stretches of at most `size` items; a stretch that has a past
        opens with at least a quarter of `size` of it, so that no target loses its context. What a
        user skipped goes with the stretch of the positive event after it, or, behind the last one,
        before it. Who did nothing but skip has no sample.
        """
        samples: list[Sample] = []
        for user_id, told in _by_user(events).items():
            samples.extend(_stretches(user_id, self[user_id], told, self.size))
        return samples


@dataclass(frozen=True, slots=True)
class _Told:
    """Of one user, in order: the positive events, and what was skipped after how many of them."""

    taken: Sequence[Event]
    skipped: Sequence[tuple[int, str]]

    def skipped_among(self, begin: int, end: int) -> tuple[str, ...]:
        """What was passed over amid the positive events `begin` … `end`−1 and not taken after all,
        each once, the latest last."""
        first, last = (bisect_left(self.skipped, at, key=itemgetter(0)) for at in (begin, end))
        if end == len(self.taken):
            last = len(self.skipped)
        found: dict[str, None] = {}
        for after, item_id in reversed(self.skipped[first:last]):
            if len(found) == MOST_SKIPPED:
                break
            if all(event.item_id != item_id for event in self.taken[after:end]):
                found[item_id] = None
        return tuple(found)[::-1]


def _by_user(events: Iterable[Event]) -> dict[str, _Told]:
    """What each user took and skipped, users in the order of their first positive events."""
    taken: dict[str, list[Event]] = {}
    skipped: dict[str, list[tuple[int, str]]] = {}
    for event in events:
        if event.weight > 0:
            taken.setdefault(event.user_id, []).append(event)
        elif event.skip:
            after = len(taken.get(event.user_id, ()))
            skipped.setdefault(event.user_id, []).append((after, event.item_id))
    return {user_id: _Told(each, skipped.get(user_id, ())) for user_id, each in taken.items()}


def _stretches(user_id: str, past: tuple[str, ...], told: _Told, size: int) -> Iterator[Sample]:
    fresh = told.taken
    items = past + tuple(event.item_id for event in fresh)
    first, done = len(past), len(past)
    while done < len(items):
        context = min(done, size // 4)
        end = min(len(items), done + size - context)
        begin = max(0, end - size)
        targets = fresh[done - first : end - first]
        yield Sample(
            user_id=user_id,
            item_ids=items[begin:end],
            num_targets=end - done,
            types=tuple(event.type for event in targets),
            weights=tuple(event.weight for event in targets),
            key=targets[-1].key,
            time_ms=targets[-1].time_ms,
            skipped=told.skipped_among(done - first, end - first),
        )
        done = end


@dataclass(frozen=True, slots=True)
class SequenceBatch:
    """Samples side by side, filled up at the end.

    Shapes: `user_idx` [B] int64 (−1 unknown); `inputs` [B, S] int64 (START first, then items, −1
    for an unknown item and as filling); `targets` [B, S] int64 (−1 where there is none); `weights`
    [B, S] float32; `heads` [B, S] int64, which head each target is asked through (−1 the shared
    query), or None where there are none; `skipped` [B, K] int64, what stands against all targets of
    a line (−1 as filling), or None where nobody skipped anything. The query at position s may see
    inputs 0 … s.
    """

    user_idx: Tensor
    inputs: Tensor
    targets: Tensor
    weights: Tensor
    heads: Tensor | None = None
    skipped: Tensor | None = None

    @property
    def num_targets(self) -> int:
        return int((self.targets >= 0).sum())

    def until(self, steps: int) -> SequenceBatch:
        """The first `steps` positions alone."""
        return replace(
            self,
            inputs=self.inputs[:, :steps],
            targets=self.targets[:, :steps],
            weights=self.weights[:, :steps],
            heads=None if self.heads is None else self.heads[:, :steps],
        )

    def looking_ahead(self, share: float, generator: np.random.Generator) -> SequenceBatch:
        """The same with a share of targets replaced, each by itself or a later one of its line.

        Which later one is chosen uniformly; it brings its head along. A sequence that repeats
        itself to the letter teaches its next item and nothing else; the items further on teach what
        goes together.
        """
        if share <= 0.0:
            return self
        targets = self.targets.cpu().numpy()
        steps = np.arange(targets.shape[1])
        last = np.where(targets >= 0, steps, 0).max(axis=1, keepdims=True)
        room = np.where(targets >= 0, last - steps, 0) + 1
        jump = (generator.random(targets.shape) * room).astype(np.int64)
        jump *= generator.random(targets.shape) < share
        later = torch.from_numpy(steps + jump).to(self.targets.device)
        return replace(
            self,
            targets=self.targets.gather(1, later),
            heads=None if self.heads is None else self.heads.gather(1, later),
        )


@dataclass(frozen=True, slots=True)
class SampleSet:
    """Many samples in dense rows, ragged.

    Shapes for n samples of m items in all: `items` [m] int64 (−1 unknown), `offsets` [n+1] int64,
    `num_targets` [n] int64, `users` [n] int64 (−1 unknown), `weights` [m] float32 (0 for context),
    `heads` [m] int64 (−1 for context and types without one), None where there are no heads;
    `skipped` [n, K] int64 (−1 unknown, and as filling), None where nothing known was skipped.
    """

    items: Rows
    offsets: Rows
    num_targets: Rows
    users: Rows
    weights: npt.NDArray[np.float32]
    heads: Rows | None = None
    skipped: Rows | None = None

    @classmethod
    def of(
        cls,
        samples: Sequence[Sample],
        item_rows: Callable[[Iterable[str]], Rows],
        user_rows: Callable[[Iterable[str]], Rows],
        type_heads: Sequence[str] = (),
    ) -> SampleSet:
        """Look the samples' ids up.

        Args:
            samples: of any length each.
            item_rows: ids to rows, −1 for an unknown one; a vocabulary's `rows`.
            user_rows: the same for users.
            type_heads: the event types that have a head, in the order of the heads.
        """
        lengths = np.fromiter((len(sample.item_ids) for sample in samples), dtype=np.int64)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        weights = np.zeros(int(offsets[-1]), np.float32)
        for sample, end in zip(samples, offsets[1:], strict=True):
            weights[end - sample.num_targets : end] = sample.weights
        return cls(
            items=item_rows(item for sample in samples for item in sample.item_ids),
            offsets=offsets,
            num_targets=np.fromiter((s.num_targets for s in samples), dtype=np.int64),
            users=user_rows(sample.user_id for sample in samples),
            weights=weights,
            heads=_heads(samples, offsets, type_heads) if type_heads else None,
            skipped=_skipped(samples, item_rows),
        )

    def __len__(self) -> int:
        return len(self.num_targets)

    @property
    def positions(self) -> int:
        """Targets in all."""
        return int(self.num_targets.sum())

    def batches(
        self,
        batch_size: int,
        generator: np.random.Generator | None = None,
        device: str | torch.device = "cpu",
    ) -> Iterator[SequenceBatch]:
        """Every sample once, samples of like length together.

        Args:
            batch_size: samples in a batch, on average; see `order`.
            generator: shuffles samples of the same length and the order of batches; None keeps
                the order by length.
        """
        for chosen in self.order(batch_size, generator):
            yield self.batch(chosen, device)

    def order(self, batch_size: int, generator: np.random.Generator | None = None) -> list[Rows]:
        """Which samples stand in which batch: indices into this set.

        Batches have about the same number of targets, and so more samples where these are short:
        a batch's loss is a mean over its targets, and every target is to count the same. (Batches
        of equally many samples cost two points of recall on sessions.)
        """
        if not len(self):
            return []
        lengths = np.diff(self.offsets)
        noise = np.arange(len(self)) if generator is None else generator.random(len(self))
        order = np.lexsort((noise, lengths))
        wanted = -(-len(self) // batch_size)
        reached = np.cumsum(self.num_targets[order])
        batch = (reached - 1) * wanted // reached[-1]
        chunks = np.split(order, np.flatnonzero(np.diff(batch)) + 1)
        if generator is not None:
            chunks = [chunks[i] for i in generator.permutation(len(chunks))]
        return chunks

    def batch(self, chosen: Rows, device: str | torch.device = "cpu") -> SequenceBatch:
        """The samples at the indices `chosen` [B] as one batch, in that order."""
        starts, ends = self.offsets[chosen], self.offsets[chosen + 1]
        lengths = ends - starts
        steps = np.arange(int(lengths.max()))
        inside = steps[None, :] < lengths[:, None]
        at = np.where(inside, starts[:, None] + steps[None, :], 0)
        items = np.where(inside, self.items[at], START)
        inputs = np.concatenate([np.full((len(chosen), 1), START), items[:, :-1]], axis=1)
        is_target = inside & (steps[None, :] >= (lengths - self.num_targets[chosen])[:, None])
        heads = None
        if self.heads is not None:
            heads = torch.from_numpy(np.where(is_target, self.heads[at], NO_HEAD)).to(device)
        return SequenceBatch(
            user_idx=torch.from_numpy(self.users[chosen]).to(device),
            inputs=torch.from_numpy(inputs).to(device),
            targets=torch.from_numpy(np.where(is_target, items, NO_TARGET)).to(device),
            weights=torch.from_numpy(np.where(is_target, self.weights[at], np.float32(0))).to(
                device
            ),
            heads=heads,
            skipped=(
                None if self.skipped is None else torch.from_numpy(self.skipped[chosen]).to(device)
            ),
        )


def _skipped(samples: Sequence[Sample], item_rows: Callable[[Iterable[str]], Rows]) -> Rows | None:
    """What was skipped, [n, K]; None where none of it is known."""
    sizes = np.fromiter((len(sample.skipped) for sample in samples), dtype=np.int64)
    inside = np.arange(sizes.max(initial=0))[None, :] < sizes[:, None]
    found: Rows = np.full(inside.shape, NO_ITEM, np.int64)
    found[inside] = item_rows(item for sample in samples for item in sample.skipped)
    return found if (found >= 0).any() else None


def _heads(samples: Sequence[Sample], offsets: Rows, type_heads: Sequence[str]) -> Rows:
    """The head of each item [m] by the type of its event; −1 for context and other types."""
    numbers = {kind: number for number, kind in enumerate(type_heads)}
    heads: Rows = np.full(int(offsets[-1]), NO_HEAD, np.int64)
    for sample, end in zip(samples, offsets[1:], strict=True):
        heads[end - sample.num_targets : end] = [
            numbers.get(kind, NO_HEAD) for kind in sample.types
        ]
    return heads
