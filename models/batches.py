"""Samples as tensors: many of them in rows of one version, and batches of these.

Legend: B batch, S sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.interactions import Rows, Sample

START = -1
"""The input before a user's first item; also fills up short sequences, where no target follows."""
NO_TARGET = -1
NO_HEAD = -1
NO_ITEM = -1


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
