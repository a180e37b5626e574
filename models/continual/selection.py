"""Which of an update's samples stay for rehearsal.

A buffer keeps the samples with the lowest keys (`BottomK`), so a rule is a way of giving keys: the
first 32 bits say how early a sample is taken, the others are bits of its own key. Keys are given
once, when a sample is admitted, and every buffer, in memory or in Redis, then keeps the same ones,
whatever the order of admission.

`uniform` leaves the keys alone: every sample of the stream has the same chance. `period` gives the
samples of an update their place among each other, so that every update keeps as many: old periods
are not crowded out, and long windows do not crowd out short ones. `loss` takes a sample with
chances proportional to how badly it is predicted. `herding` takes those of an update whose queries
have the mean that is nearest to the mean of all.

Sources: balanced reservoirs, Chrysakis and Moens, 2020; weighted sampling by exponential keys,
Efraimidis and Spirakis, 2006; herding, Welling, 2009, as exemplars in iCaRL (Rebuffi et al., 2017,
arXiv 1611.07725) and ADER (Mi et al., 2020, arXiv 2007.12000), who herd per item; here per update.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from models.batches import SampleSet
from models.interactions import Sample
from models.objectives import NegativeSampler, softmax_coefficients

if TYPE_CHECKING:
    from models.continual.state import LearningState

RULES = ("uniform", "period", "loss", "herding")
_HERDED = 512
_AT_ONCE = 256
_BITS = 32


def keyed(rule: str, samples: Sequence[Sample], learned: LearningState) -> list[Sample]:
    """The samples of one update with keys by which a buffer keeps what `rule` wants kept.

    Args:
        rule: one of `RULES`.
        samples: with uniform 64-bit keys.
        learned: the state after the update, which knows their items.

    Raises:
        ValueError: there is no such rule.
    """
    if rule not in RULES:
        raise ValueError(f"keep: must be one of {', '.join(RULES)}, got {rule!r}")
    if rule == "uniform" or not samples:
        return list(samples)
    keys = np.fromiter((sample.key for sample in samples), dtype=np.uint64)
    if rule == "loss":
        first = _by_loss(keys, _losses(samples, learned))
    else:
        places = np.argsort(np.argsort(keys, kind="stable"), kind="stable").astype(np.uint64)
        if rule == "herding":
            chosen = herded(_features(samples, learned), min(_HERDED, len(samples)))
            places += np.uint64(len(chosen))
            places[chosen] = np.arange(len(chosen), dtype=np.uint64)
        first = np.minimum(places, np.uint64(2**_BITS - 1))
    numbers = (first << np.uint64(_BITS)) | (keys >> np.uint64(_BITS))
    return [
        replace(sample, key=int(number)) for sample, number in zip(samples, numbers, strict=True)
    ]


def herded(features: Tensor, count: int) -> npt.NDArray[np.int64]:
    """Indices [count] of rows [n, D], each next one bringing their running mean nearest to all's.

    Features are directions; a row is taken once.
    """
    rows = F.normalize(features.double(), dim=1)
    mean, total = rows.mean(0), torch.zeros_like(rows[0])
    open_rows = torch.zeros(len(rows), dtype=torch.float64)
    taken = []
    for place in range(1, count + 1):
        # argmin |mean − (total + row) / place|², rows being of length 1
        gain = rows @ (place * mean - total) + open_rows
        best = int(gain.argmax())
        taken.append(best)
        total += rows[best]
        open_rows[best] = -torch.inf
    return np.asarray(taken, dtype=np.int64)


def _by_loss(
    keys: npt.NDArray[np.uint64], losses: npt.NDArray[np.float64]
) -> npt.NDArray[np.uint64]:
    """u ↦ 1 − (1−u)^(1/w), w the loss over the mean loss: the lowest are a sample weighted by w."""
    weights = np.maximum(losses / max(float(losses.mean()), 1e-12), 1e-6)
    chance = keys.astype(np.float64) / 2.0**64
    first = -np.expm1(np.log1p(-np.minimum(chance, 1.0 - 1e-16)) / weights)
    return np.minimum(first * 2.0**_BITS, 2.0**_BITS - 1.0).astype(np.uint64)


def _losses(samples: Sequence[Sample], learned: LearningState) -> npt.NDArray[np.float64]:
    """Mean loss of each sample's targets, [n], among one draw of negatives for all."""
    sampler = NegativeSampler(learned.counts.numpy(), learned.config.num_negatives)
    drawn = sampler.draw(np.random.default_rng(learned.updates))
    vectors = learned.net.item_vectors()
    found = _found(samples, learned)
    losses = np.zeros(len(found))
    for chosen in found.order(_AT_ONCE):
        batch = found.batch(chosen)
        wanted = batch.targets >= 0
        loss, _, _ = softmax_coefficients(
            learned.net.queries(batch)[wanted],
            vectors,
            batch.targets[wanted],
            drawn.rows,
            drawn.shift,
        )
        owners = torch.arange(len(chosen))[:, None].expand_as(wanted)[wanted]
        sums = torch.zeros(len(chosen)).index_add_(0, owners, loss)
        losses[chosen] = (sums / wanted.sum(1).clamp(min=1)).double().numpy()
    return losses


def _features(samples: Sequence[Sample], learned: LearningState) -> Tensor:
    """The query [n, D] after all but the last item of each sample."""
    found = _found(samples, learned)
    features = torch.zeros(len(found), learned.net.items.dim)
    lengths = np.diff(found.offsets)
    for chosen in found.order(_AT_ONCE):
        queries = learned.net.queries(found.batch(chosen))
        last = torch.from_numpy(lengths[chosen] - 1)
        features[chosen] = queries[torch.arange(len(chosen)), last]
    return features


def _found(samples: Sequence[Sample], learned: LearningState) -> SampleSet:
    types = learned.net.heads.types
    return SampleSet.of(samples, learned.items.rows, learned.users.rows, types)
