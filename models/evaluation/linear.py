"""Linear models of users' sets, solved anew each period: EASE and implicit factorization."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from models.evaluation.arm import Arm
from models.evaluation.questions import Histories, Questions
from models.evaluation.scores import DenseScores, Scores
from models.evaluation.stream import Slice

HISTORY = 50
"""Latest items of a history that are asked with, as many as the network sees by default. The whole
history asks worse: what is wanted now drowns in what ever was."""
MAX_ITEMS = 20_000
"""EASE inverts an N × N matrix; above so many items that is not for a small machine."""


def taken(history: Histories, num_items: int) -> csr_matrix:
    """Which known items each history holds: binary [B, N]."""
    known = history.items < num_items
    matrix = csr_matrix(
        (np.ones(known.sum(), dtype=np.float32), (history.owner[known], history.items[known])),
        shape=(len(history.offsets) - 1, num_items),
    )
    matrix.data[:] = 1.0
    return matrix


def all_taken(period: Slice) -> csr_matrix:
    """Which items each user took up to the end of `period`: binary [U, N]."""
    users, items = period.so_far.user, period.so_far.item
    matrix = csr_matrix(
        (np.ones(len(users), dtype=np.float32), (users, items)),
        shape=(int(users.max()) + 1, period.num_items),
    )
    matrix.data[:] = 1.0
    return matrix


class Ease(Arm):
    """B = I − P / diag(P), P = (XᵀX + λI)⁻¹; the scores of a history x are xB.

    Args:
        damping: λ.

    Source: Steck, 2019 (arXiv 1905.03375), equation 8.
    """

    def __init__(self, damping: float = 300.0) -> None:
        self.damping = damping

    def fit(self, base: Slice) -> None:
        self.update(base)

    def update(self, period: Slice) -> None:
        if period.num_items > MAX_ITEMS:
            raise ValueError(
                f"{period.num_items} items are too many to invert; {MAX_ITEMS} are not"
            )
        matrix = all_taken(period)
        gram = torch.from_numpy((matrix.T @ matrix).toarray())
        gram.diagonal().add_(self.damping)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        weights = -inverse / inverse.diagonal()
        weights.fill_diagonal_(0.0)
        self._weights = weights.numpy()

    def scores(self, questions: Questions) -> Scores:
        matrix = taken(questions.histories(HISTORY), len(self._weights))
        return DenseScores(torch.from_numpy(matrix @ self._weights))

    def costs(self) -> dict[str, float]:
        return {"weights_bytes": float(self._weights.nbytes)}


class ImplicitAls(Arm):
    """Implicit matrix factorization by alternating least squares; users are folded in live.

    Minimizes Σ_ui (1 + α·x_ui) (x_ui − p_u·q_i)² + λ (Σ|p_u|² + Σ|q_i|²), x binary. A question is
    answered with p solved from its own history.

    Source: Hu, Koren and Volinsky, 2008, equation 3.
    """

    def __init__(
        self,
        seed: int = 0,
        embedding_dim: int = 64,
        alpha: float = 10.0,
        damping: float = 10.0,
        epochs: int = 8,
    ) -> None:
        self.seed = seed
        self.embedding_dim = embedding_dim
        self.alpha = alpha
        self.damping = damping
        self.epochs = epochs

    def fit(self, base: Slice) -> None:
        self.update(base)

    def update(self, period: Slice) -> None:
        matrix = all_taken(period)
        transposed = matrix.T.tocsr()
        generator = torch.Generator().manual_seed(self.seed)
        items = torch.randn(matrix.shape[1], self.embedding_dim, generator=generator) * 0.1
        for _ in range(self.epochs):
            users = self._solve(matrix, items)
            items = self._solve(transposed, users)
        self._vectors = items

    def _solve(self, matrix: csr_matrix, other: Tensor, at_once: int = 1_024) -> Tensor:
        """The rows [R, D] that fit `matrix` [R, C] best, given those of the other side [C, D]."""
        eye = torch.eye(other.shape[1])
        gram = other.T @ other + self.damping * eye
        result = torch.empty(matrix.shape[0], other.shape[1])
        for start in range(0, matrix.shape[0], at_once):
            part = matrix[start : start + at_once]
            totals = torch.from_numpy(part @ other.numpy()) * (1.0 + self.alpha)
            grams = gram.repeat(part.shape[0], 1, 1)
            for row in range(part.shape[0]):
                chosen = other[part.indices[part.indptr[row] : part.indptr[row + 1]]]
                grams[row].addmm_(chosen.T, chosen, alpha=self.alpha)
            factor = torch.linalg.cholesky(grams)
            solved = torch.cholesky_solve(totals[:, :, None], factor)
            result[start : start + at_once] = solved[:, :, 0]
        return result

    def scores(self, questions: Questions) -> Scores:
        matrix = taken(questions.histories(HISTORY), len(self._vectors))
        return DenseScores(self._solve(matrix, self._vectors) @ self._vectors.T)
