"""The content tower: a linear map from an item's features to the vector it would have learned.

Ridge regression in closed form on the learned rows of a version, so that an item which nobody has
met has a vector on the same scale as the others, and one ranking holds both.

How often an item was met is a feature, too. A learned row holds it: what is met often leans towards
all queries, what is met seldom away from them. Without it every new item would be foretold a place
among the popular ones.

Legend: N items, D embedding, P columns of the features that the map reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix, diags

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Of the squared weights; that which foretells items left out best is taken."""
DIMS = 512
MIN_ITEMS = 20
_JUDGED = 512
_FOUND = 128
_NEAREST = 20
_FREE = 2
"""Weights without a penalty: of how often an item was met, and of the mean."""
_TINY = 1e-9
_WORTH = 0.005
"""R² at or below it may be chance."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How well the tower foretells items that it was not fitted on, each left out by itself."""

    r2: float
    """1 − squared error / that of a map that reads no text, only how often an item was met."""
    recall: float
    """Share of items whose own row is among the 20 nearest to what is foretold of them."""
    items: int
    """How many items it was fitted on."""


@dataclass(frozen=True, slots=True)
class Tower:
    """Vectors foretold from features x and events n: `x @ weights + log(1 + n) · met + mean`.

    Attributes:
        columns: [P] the columns of the features that it reads, ascending: the most common ones.
        weights: [P, D].
        met: [D].
        mean: [D].
        penalty: the one of PENALTIES that was taken.
        quality: see there.
        least: the fewest events of an item that it was fitted on: of one with fewer it says what it
            says of one with so many, and nothing is drawn out beyond what was seen.
        normalize: whether vectors are made of length one (docs/adr/0004).
    """

    columns: Ints
    weights: Floats
    met: Floats
    mean: Floats
    penalty: float
    quality: Quality
    least: float
    normalize: bool

    @classmethod
    def fit(
        cls,
        rows: csr_matrix,
        vectors: npt.ArrayLike,
        events: npt.ArrayLike,
        *,
        normalize: bool,
        few: float = 5.0,
        dims: int = DIMS,
    ) -> Tower | None:
        """The map with the least Σ wᵢ |yᵢ − ŷᵢ|² + penalty · |weights|², in float64.

        The items of a version that were met and have something to read are learned from. One of n
        events counts w = n / (n + few), over the mean of that: the rows of those met once are
        mostly chance. The penalty is chosen, and the quality told, by leaving out one item at a
        time, which takes no refit: its residual then is (yᵢ − ŷᵢ) / (1 − wᵢ hᵢ), hᵢ = x̃ᵢᵀ A⁻¹ x̃ᵢ.

        Args:
            rows: [N, width] features of the version's items, empty where there are none.
            vectors: [N, D] their rows, as they are scored by.
            events: [N] how often each was a positive event.
            normalize: whether these are of length one, and those foretold shall be.
            few: events at which an item counts half.
            dims: the most columns that are read, those most items have. No others are hashed into
                these: an item that has none of them is known to be unreadable, and not guessed at.

        Returns:
            None where there is nothing to learn: fewer than 20 items, no column that two of them
            share, or text that says nothing about taste (R² is not above 0.005).

        Source: Hoerl and Kennard, 1970; leaving one out: Allen, 1974 (PRESS). As a tower beside
        learned rows: Gantner et al., 2010 (attribute-to-factor mapping). Deviations: how often an
        item was met is a feature; items are left out on a sample of 512.
        """
        met = np.asarray(events, dtype=np.float64)
        chosen = np.flatnonzero((met >= 1.0) & (np.diff(rows.indptr) > 0))
        rows, met = rows[chosen], met[chosen]
        having = np.bincount(rows.indices, minlength=rows.shape[1])
        shared = np.flatnonzero(having >= 2)
        columns = np.sort(shared[np.argsort(-having[shared], kind="stable")[:dims]])
        if len(chosen) < MIN_ITEMS or not len(columns):
            return None
        targets = np.asarray(vectors, dtype=np.float64)[chosen]
        weights = met / (met + few)
        problem = _Problem.of(_read(rows, columns), targets, met, weights / weights.mean())
        tried = [problem.solved(penalty) for penalty in PENALTIES]
        place = int(np.argmin([error for _, error, _ in tried]))
        solution, error, foretold = tried[place]
        blind = problem.blind_error()
        r2 = 1.0 - error / blind if blind > 0.0 else 0.0
        if not r2 > _WORTH:
            return None
        quality = Quality(r2, _recall(foretold, problem.judged, targets), len(chosen))
        slopes, (often, mean) = solution[:-_FREE], solution[-_FREE:]
        least = float(met.min())
        return cls(columns, slopes, often, mean, PENALTIES[place], quality, least, normalize)

    def reads(self, rows: csr_matrix) -> npt.NDArray[np.bool_]:
        """Which rows [N] have a column that the tower reads."""
        return np.asarray(np.diff(_read(rows, self.columns).indptr) > 0)

    def predict(self, rows: csr_matrix, events: npt.ArrayLike = 0.0) -> npt.NDArray[np.float32]:
        """Vectors [N, D] foretold of features [N, width] of items met so often ([N] or one)."""
        met = np.maximum(np.asarray(events, dtype=np.float64), self.least).reshape(-1, 1)
        read = _read(rows, self.columns).astype(np.float64) @ self.weights
        vectors = read + np.log1p(met) * self.met + self.mean
        return np.asarray(_directed(vectors, self.normalize), dtype=np.float32)


def foretold(
    tower: Tower,
    rows: csr_matrix,
    vectors: npt.NDArray[np.float32],
    events: npt.ArrayLike,
    few: float,
) -> npt.NDArray[np.float32]:
    """Vectors [N, D] in which items with fewer than `few` events lean on what their text foretells.

    Of an item of n events its own row counts n and the tower's `few`; an item of which the tower
    reads nothing keeps its own.

    Args:
        rows: [N, width] features.
        vectors: [N, D] as they were learned.
        events: [N].
    """
    met = np.asarray(events, dtype=np.float64)
    places = np.flatnonzero((met < few) & tower.reads(rows))
    own = (met[places] / (met[places] + few))[:, None]
    mixed = own * vectors[places] + (1.0 - own) * tower.predict(rows[places], met[places])
    changed = vectors.copy()
    changed[places] = _directed(mixed, tower.normalize)
    return changed


@dataclass(frozen=True, slots=True)
class _Problem:
    """Sums over all items, and the sample of them that is left out one at a time."""

    gram: Floats
    """[P + 2, P + 2] X̃ᵀ W X̃, X̃ being the features, log(1 + n) and ones."""
    moment: Floats
    """[P + 2, D] X̃ᵀ W Y."""
    judged: Ints
    """[J] rows of the sample."""
    features: Floats
    """[J, P + 2] their X̃."""
    targets: Floats
    """[J, D]."""
    weights: Floats
    """[J]."""

    @classmethod
    def of(cls, rows: csr_matrix, targets: Floats, met: Floats, weights: Floats) -> _Problem:
        free = np.column_stack([np.log1p(met), np.ones(len(met))])
        wide = rows.astype(np.float64)
        weighted, free_weighted = diags(weights) @ wide, free * weights[:, None]
        cross = wide.T @ free_weighted
        gram = np.block([[(wide.T @ weighted).toarray(), cross], [cross.T, free.T @ free_weighted]])
        moment = np.vstack([weighted.T @ targets, free_weighted.T @ targets])
        judged = np.random.default_rng(0).permutation(len(met))[:_JUDGED]
        features = np.hstack([wide[judged].toarray(), free[judged]])
        return cls(gram, moment, judged, features, targets[judged], weights[judged])

    def solved(self, penalty: float) -> tuple[Floats, float, Floats]:
        """Weights [P + 2, D], the error on items left out, and what is foretold of these [J, D]."""
        return self._solved(slice(None), penalty)

    def blind_error(self) -> float:
        """The same error without any text."""
        return self._solved(slice(-_FREE, None), 0.0)[1]

    def _solved(self, used: slice, penalty: float) -> tuple[Floats, float, Floats]:
        gram, features = self.gram[used, used], self.features[:, used]
        ridge = np.full(len(gram), penalty)
        ridge[-_FREE:] = _TINY * gram[-1, -1]  # else singular where all were met alike
        factor = cho_factor(gram + np.diag(ridge), lower=True)
        solution: Floats = cho_solve(factor, self.moment[used])
        leverage = np.einsum("jp,pj->j", features, cho_solve(factor, features.T))
        residual = self.targets - features @ solution
        residual /= np.maximum(1.0 - self.weights * leverage, 1e-6)[:, None]
        error = float(self.weights @ (residual * residual).sum(axis=1))
        return solution, error, self.targets - residual


def _read(rows: csr_matrix, columns: Ints) -> csr_matrix:
    """The columns [N, P] of features, in order."""
    places = np.searchsorted(columns, rows.indices)
    places[places == len(columns)] = 0
    kept = columns[places] == rows.indices
    before = np.concatenate(([0], np.cumsum(kept)))
    return csr_matrix(
        (rows.data[kept], places[kept], before[rows.indptr]), shape=(rows.shape[0], len(columns))
    )


def _directed(vectors: Floats, normalize: bool) -> Floats:
    if not normalize:
        return vectors
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-6))


def _recall(foretold: Floats, judged: Ints, targets: Floats) -> float:
    """Share of items whose own row is among the nearest to what is foretold of them."""
    sample = slice(_FOUND)
    scores: Any = foretold[sample].astype(np.float32) @ targets.astype(np.float32).T
    own = scores[np.arange(len(scores)), judged[sample]][:, None]
    return float(np.mean(np.count_nonzero(scores > own, axis=1) < _NEAREST))
