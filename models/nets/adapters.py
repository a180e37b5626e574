"""Adapters: what questions of one domain ask for beside what all of them do.

Legend: B batch, S sequence, D embedding, A adapters, K rank.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from models.nets.encoder import Backward, Dense, Dropout, Encoder, ExampleGradients, Inputs
from models.parameters import Layout, chosen_initial_rows

DOWN, UP = "adapter_down", "adapter_up"
"""The names of V [A, K, D] and U [A, D, K] among the dense weights."""
NO_DOMAIN = -1


@dataclass(frozen=True, slots=True)
class Adapters:
    """h + U_d max(0, V_d h), with d the domain of the latest item; h itself where it has none.

    U begins at 0, so that a new adapter changes no query, and V at random, so that it can learn.

    Source: residual adapters, Rebuffi et al., 2017 (arXiv 1705.08045); as a bottleneck Houlsby et
    al., 2019 (arXiv 1902.00751), section 2. Deviations: one adapter on what the encoder makes, not
    one in each of its layers, so that it fits every encoder; no biases.
    """

    domains: tuple[int, ...] = ()
    """The numbers of the domains that have one."""
    rank: int = 0
    """K, of all of them."""

    def __bool__(self) -> bool:
        return bool(self.domains)

    def layout(self, dim: int) -> Layout:
        """Names and shapes of their weights."""
        if not self:
            return Layout()
        size = len(self.domains)
        shapes = ((DOWN, (size, self.rank, dim)), (UP, (size, dim, self.rank)))
        return Layout(shapes, dict.fromkeys((DOWN, UP), self.domains))

    def initial(self, dim: int, seed: int) -> Tensor:
        """Their weights at birth: each adapter's a function of the seed and its domain."""
        layout = self.layout(dim)
        flat = torch.zeros(layout.size)
        if self:
            down, size = layout.views(flat)[DOWN], self.rank * dim
            norm = math.sqrt(2.0 * self.rank)  # √2 for each line of V
            numbers = torch.tensor(self.domains)
            down[:] = chosen_initial_rows(seed, numbers, size, norm).view(down.shape)
        return flat

    def __call__(self, hidden: Tensor, domains: Tensor, dense: Dense) -> Tensor:
        """Queries […, D] from h […, D] and the domain of each, […] int64."""
        flat, numbers = hidden.reshape(-1, hidden.shape[-1]), domains.reshape(-1)
        each = self._each(numbers, dense)
        added = [(flat.index_select(0, at) @ down.T).relu() @ up.T for at, down, up in each]
        places = torch.cat([at for at, _, _ in each])
        return flat.index_add(0, places, torch.cat(added)).view(hidden.shape)

    def _each(self, numbers: Tensor, dense: Dense) -> list[tuple[Tensor, Tensor, Tensor]]:
        """For each adapter the places that are of its domain, V and U."""
        places = [(numbers == number).nonzero()[:, 0] for number in self.domains]
        return list(zip(places, dense[DOWN], dense[UP], strict=True))

    def squares(
        self, hidden: Tensor, domains: Tensor, gradient: Tensor, dense: Dense
    ) -> tuple[Tensor, Tensor]:
        """Σ_t (∂ loss_t / ∂ weight)², laid end to end, and ∂ loss_t / ∂ h_t [T, D].

        With g the gradient of a query and a = max(0, V h), one example's gradient of U is g ⊗ a and
        that of V is b ⊗ h, b being Uᵀg where a is above 0; squared, both are products of squares.

        Args:
            hidden: [T, D], h.
            domains: [T] int64.
            gradient: [T, D], g.
            dense: the dense weights by name.
        """
        downs, ups, below = [], [], gradient.clone()
        for at, down, up in self._each(domains, dense):
            h, g = hidden[at], gradient[at]
            active = (h @ down.T).relu()
            b = (g @ up) * (active > 0.0)
            downs.append(b.square().T @ h.square())
            ups.append(g.square().T @ active.square())
            below[at] += b @ down
        return torch.cat([part.reshape(-1) for part in (*downs, *ups)]), below


class AdaptedEncoder:
    """`base`, and `adapters` on what it makes: an encoder as any other."""

    def __init__(self, base: Encoder, adapters: Adapters) -> None:
        self.base = base
        self.adapters = adapters
        self.name = base.name
        self.has_users = base.has_users
        self.settings = base.settings

    def layout(self, dim: int) -> Layout:
        base, own = self.base.layout(dim), self.adapters.layout(dim)
        return Layout((*base.shapes, *own.shapes), {**base.numbers, **own.numbers})

    def depths(self, dim: int) -> Tensor:
        """Adapters stand on top of the base's last layer."""
        base = self.base.depths(dim)
        return torch.cat([base, base.max() + base.new_ones(self.adapters.layout(dim).size)])

    def initial(self, dim: int, seed: int) -> Tensor:
        return torch.cat([self.base.initial(dim, seed), self.adapters.initial(dim, seed)])

    def queries(self, given: Inputs, dense: Dense, dropout: Dropout | None) -> Tensor:
        return self.adapters(self.base.queries(given, dense, dropout), latest(given), dense)

    def examples(self, given: Inputs, last: Tensor, dense: Dense) -> tuple[Tensor, Backward]:
        """The base's own gradients, and those of the adapters in closed form."""
        hidden, backward = self.base.examples(given, last, dense)
        hidden = hidden.detach()
        domains = latest(given)[torch.arange(len(last), device=last.device), last]

        def adapted(gradient: Tensor) -> ExampleGradients:
            squares, below = self.adapters.squares(hidden, domains, gradient, dense)
            found = backward(below)
            return ExampleGradients(torch.cat([found.dense, squares]), found.inputs, found.users)

        return self.adapters(hidden, domains, dense).detach(), adapted


def latest(given: Inputs) -> Tensor:
    """The domain [B, S] of each input, `NO_DOMAIN` where there is none."""
    if given.domains is None:
        return torch.full_like(given.inputs, NO_DOMAIN)
    nothing = given.domains.new_full((1,), NO_DOMAIN)
    return torch.cat([given.domains, nothing])[given.inputs]
