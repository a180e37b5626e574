"""May a candidate be published? Paired tests on new and old, by bootstrap over users.

Each query's NDCG@K is averaged per user, candidate and reference side by side over the items both
know; a test refuses when the upper confidence bound of (candidate − reference) lies below
−gate_margin · reference: significantly worse, and by more than is tolerated. Proof of improvement
is not asked for. *New* is what the window kept from the update, pooled, while it has too few users,
with the probes of the periods before it, newest first; *old* the probes of all periods before it
together. The same is asked against the best version of the day, so that small losses do not add up.

Source: paired bootstrap, Efron and Tibshirani, 1993; for rankings Sakai, 2006.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.config import LearningConfig
from models.continual.scoring import Scored, score
from models.continual.state import LearningState
from models.interactions import Sample
from models.ranking.metrics import Ranks, ndcg, recall

_RESAMPLES = 2_000
_RESAMPLED_AT_ONCE = 4_000_000

ACCEPTED, REFUSED, INSUFFICIENT = "accepted", "refused", "insufficient_evidence"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate measured and what it says; everything is JSON.

    `new`, `old` and `best` hold the means of both sides, the difference with its bounds, and how
    many users and queries there were; `new["pooled"]` is how many probes helped the hold-out out,
    `old["bands"]` the forgetting report.
    """

    accepted: bool
    verdict: str
    reason: str
    new: dict[str, Any]
    old: dict[str, Any]
    best: dict[str, Any] | None


def judge(
    active: LearningState,
    candidate: LearningState,
    *,
    best: LearningState | None,
    holdout: Sequence[Sample],
    seed: int,
) -> Verdict:
    """Compare a candidate with the active version and the best one of the day.

    Args:
        active: what is served now.
        candidate: what would be served; its memory holds the probes of all periods.
        best: the best version of the day; None or the active one itself: that test is left out.
        holdout: this window's samples that the candidate was not trained on, its probes among them.
        seed: of the bootstrap.

    Returns:
        `refused` when a parameter is not finite or any test with enough users says so,
        `insufficient_evidence` (accepted) when none has enough users, else `accepted`.
    """
    if not_finite := _not_finite(candidate):
        reason = f"The candidate has values that are no finite numbers in {', '.join(not_finite)}."
        return Verdict(False, REFUSED, reason, {}, {}, None)
    probes = candidate.memory.probes.samples
    fresh = _pooled(holdout, candidate)
    generator = np.random.default_rng(seed)
    new = _Comparison.of(active, candidate, fresh).test(candidate.config, generator)
    new["pooled"] = len(fresh) - len(holdout)
    pooled = _Comparison.of(active, candidate, probes)
    own = {sample.key for sample in holdout}
    past = np.asarray([sample.key not in own for sample in probes], dtype=np.bool_)
    old = pooled.of_samples(past).test(candidate.config, generator)
    old["bands"] = _bands(candidate, pooled)
    tests = {"new events": new, "old periods": old}
    against_best: dict[str, Any] | None = None
    if best is not None and best is not active:
        against_best = {
            "new": _Comparison.of(best, candidate, fresh).test(candidate.config, generator),
            "old": _Comparison.of(best, candidate, probes)
            .of_samples(past)
            .test(candidate.config, generator),
        }
        tests["new events against the best version of the day"] = against_best["new"]
        tests["old periods against the best version of the day"] = against_best["old"]
    verdict, reason = _say(tests, candidate.config)
    return Verdict(verdict != REFUSED, verdict, reason, new, old, against_best)


def _pooled(holdout: Sequence[Sample], candidate: LearningState) -> list[Sample]:
    """The hold-out and, band by band from the newest, probes until there are enough users."""
    samples, enough = list(holdout), candidate.config.gate_min_users
    own = {sample.key for sample in holdout}
    for band in reversed(candidate.memory.probes.bands):
        if len({sample.user_id for sample in samples}) >= enough:
            break
        samples.extend(sample for sample in band.samples if sample.key not in own)
    return samples


def paired_bounds(
    differences: npt.NDArray[np.float64], confidence: float, generator: np.random.Generator
) -> tuple[float, float]:
    """One-sided lower and upper confidence bounds of a mean, each at `confidence`.

    Args:
        differences: one for each user [n], n at least 1.
        confidence: for example .95.
        generator: draws the resamples.
    """
    users = len(differences)
    chances = np.full(users, 1.0 / users)
    step = max(1, _RESAMPLED_AT_ONCE // users)
    means = [
        generator.multinomial(users, chances, size=min(step, _RESAMPLES - first)) @ differences
        for first in range(0, _RESAMPLES, step)
    ]
    low, high = np.quantile(np.concatenate(means) / users, [1.0 - confidence, confidence])
    return float(low), float(high)


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Ranks of the same targets by both sides, among the items both know."""

    samples: Sequence[Sample]
    reference: Scored
    candidate: Scored

    @classmethod
    def of(
        cls, reference: LearningState, candidate: LearningState, samples: Sequence[Sample]
    ) -> _Comparison:
        rows = candidate.items.rows(reference.items.ids)
        shared = np.flatnonzero(rows >= 0)
        order = np.argsort(rows[shared])
        return cls(
            samples,
            score(reference, samples, shared),
            score(candidate, samples, rows[shared][order]),
        )

    def of_samples(self, chosen: npt.NDArray[np.bool_]) -> _Comparison:
        """The same for the samples marked in `chosen` [samples] alone."""
        kept = chosen[self.candidate.owners]
        return _Comparison(self.samples, self.reference.only(kept), self.candidate.only(kept))

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Targets [n] that both sides could rank; growth is no merit and no fault."""
        return np.isfinite(self.reference.ranks) & np.isfinite(self.candidate.ranks)

    def per_user(self, ranks: Ranks, k: int) -> npt.NDArray[np.float64]:
        """Mean NDCG@K of each user with a known target, in order of appearance."""
        names = np.asarray([sample.user_id for sample in self.samples], dtype=object)
        known = self.known
        numbers: dict[str, int] = {}
        of_query = [names[owner] for owner in self.candidate.owners[known]]
        users = np.asarray([numbers.setdefault(u, len(numbers)) for u in of_query], np.int64)
        sums = np.bincount(users, ndcg(ranks[known], k), minlength=len(numbers))
        return sums / np.maximum(np.bincount(users, minlength=len(numbers)), 1)

    def test(self, config: LearningConfig, generator: np.random.Generator) -> dict[str, Any]:
        """Both means, their difference with its bounds, and whether that is a refusal."""
        k = config.top_k
        before = self.per_user(self.reference.ranks, k)
        after = self.per_user(self.candidate.ranks, k)
        known = self.known
        result: dict[str, Any] = {
            "users": len(before),
            "queries": int(known.sum()),
            "enough": len(before) >= max(config.gate_min_users, 1),
            "refused": False,
        }
        if len(before):
            difference = after - before
            low, high = paired_bounds(difference, config.gate_confidence, generator)
            result |= {
                f"ndcg@{k}": float(after.mean()),
                f"reference_ndcg@{k}": float(before.mean()),
                f"recall@{k}": float(recall(self.candidate.ranks[known], k).mean()),
                f"reference_recall@{k}": float(recall(self.reference.ranks[known], k).mean()),
                "difference": float(difference.mean()),
                "low": low,
                "high": high,
                "tolerated": -config.gate_margin * float(before.mean()),
            }
            result["refused"] = bool(result["enough"] and high < result["tolerated"])
        return result


def _bands(candidate: LearningState, pooled: _Comparison) -> list[dict[str, Any]]:
    """The forgetting report: recall and NDCG of both sides on the probes of each age band."""
    k, known, bands, first = candidate.config.top_k, pooled.known, [], 0
    for band in candidate.memory.probes.bands:
        last = first + len(band.samples)
        owners = pooled.candidate.owners
        inside = known & (owners >= first) & (owners < last)
        entry: dict[str, Any] = {
            "windows": band.windows,
            "from_ms": band.from_ms,
            "until_ms": band.until_ms,
            "queries": int(inside.sum()),
        }
        if inside.any():
            after, before = pooled.candidate.ranks[inside], pooled.reference.ranks[inside]
            entry[f"recall@{k}"] = float(recall(after, k).mean())
            entry[f"ndcg@{k}"] = float(ndcg(after, k).mean())
            entry[f"reference_recall@{k}"] = float(recall(before, k).mean())
        bands.append(entry)
        first = last
    return bands


def _say(tests: dict[str, dict[str, Any]], config: LearningConfig) -> tuple[str, str]:
    """The verdict and one or more sentences for it."""
    k = config.top_k
    worse = [
        f"NDCG@{k} on {name} fell from {test[f'reference_ndcg@{k}']:.4f} to {test[f'ndcg@{k}']:.4f}"
        f" over {test['users']} users (at best by {-test['high']:.4f} at"
        f" {config.gate_confidence:.0%} confidence, {-test['tolerated']:.4f} is tolerated)."
        for name, test in tests.items()
        if test["refused"]
    ]
    if worse:
        return REFUSED, " ".join(worse)
    counted = ", ".join(f"{test['users']} on {name}" for name, test in tests.items())
    if not any(test["enough"] for test in tests.values()):
        return INSUFFICIENT, (
            f"Too few users to judge by ({counted}; {config.gate_min_users} are asked for),"
            " so the candidate is let through."
        )
    return ACCEPTED, f"Not significantly worse in any test with enough users ({counted})."


def _not_finite(state: LearningState) -> list[str]:
    return [
        name
        for name, tensor in state.net.snapshot().items()
        if not bool(torch.isfinite(tensor).all())
    ]
