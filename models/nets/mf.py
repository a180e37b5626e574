"""Matrix factorization: the query is the user's row."""

from __future__ import annotations

import torch
from torch import Tensor

from models.nets.encoder import NO_SETTINGS, Backward, Dense, Dropout, ExampleGradients, Inputs
from models.parameters import Layout, initial_rows


class MatrixFactorization:
    """A user's query is his row; who has none gets the mean of his items' vectors.

    Source: Koren, Bell and Volinsky, 2009; the mean of the items is the fold-in of NSVD (Paterek,
    2007) with the item rows themselves. A user without row and items gets the START vector.
    """

    name = "mf"
    has_users = True
    settings = NO_SETTINGS

    def layout(self, dim: int) -> Layout:
        return Layout((("start", (dim,)),))

    def depths(self, dim: int) -> Tensor:
        return torch.zeros(self.layout(dim).size, dtype=torch.int64)

    def initial(self, dim: int, seed: int) -> Tensor:
        return initial_rows(seed, 0, 1, dim)[0]

    def queries(self, given: Inputs, dense: Dense, dropout: Dropout | None) -> Tensor:
        known = given.user_idx >= 0
        if bool(known.all()):
            rows = given.users.index_select(0, given.user_idx)
            rows = rows if dropout is None else dropout(rows)
            return rows[:, None, :].expand(-1, given.inputs.shape[1], -1)
        means = self._means(given, dense["start"])
        users = torch.cat([given.users, means.new_zeros(1, means.shape[2])])
        rows = users[given.user_idx][:, None, :].expand_as(means)
        rows = torch.where(known[:, None, None], rows, means)
        return rows if dropout is None else dropout(rows)

    def examples(self, given: Inputs, last: Tensor, dense: Dense) -> tuple[Tensor, Backward]:
        """As `queries`, with the gradient handed on to the row or divided among the items."""
        queries = self.queries(given, dense, None).detach()
        at = torch.arange(len(last), device=last.device)
        known = (given.user_idx >= 0)[:, None]
        steps = torch.arange(given.inputs.shape[1], device=last.device)
        read = (given.inputs >= 0) & (steps[None, :] <= last[:, None])
        counts = read.sum(1, keepdim=True)

        def backward(gradient: Tensor) -> ExampleGradients:
            share = torch.where(known, 0.0, gradient) / counts.clamp(min=1)
            alone = torch.where(known | (counts > 0), 0.0, gradient)
            return ExampleGradients(
                dense=alone.square().sum(0),
                inputs=torch.where(read[..., None], share[:, None, :], 0.0),
                users=torch.where(known, gradient, 0.0),
            )

        return queries[at, last], backward

    @staticmethod
    def _means(given: Inputs, start: Tensor) -> Tensor:
        """The mean of the items up to each input, [B, S, D]; START's vector before the first."""
        read = (given.inputs >= 0)[..., None]
        table = torch.cat([given.items, given.items.new_zeros(1, given.items.shape[1])])
        sums = table[given.inputs].cumsum(1)
        counts = read.to(sums.dtype).cumsum(1)
        return torch.where(counts > 0, sums / counts.clamp(min=1.0), start)
