"""Causal self-attention over the history: the query is what the last item has gathered."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from models.nets.encoder import Backward, Dense, Dropout, Inputs, scaled_inputs
from models.nets.examples import examples_by_autograd
from models.parameters import Layout, initial_rows

_DISTANCES = 64
"""Distances with a weight of their own; whatever lies further back shares the last one."""


class SasRec:
    """Blocks of attention and a point-wise network, each on what was normalised before it.

    x = x + A(norm(x)), x = x + W₂ relu(W₁ norm(x)); after the last block the query is norm(x). A
    head's logits are q·k/√(D/H) + bias[distance], the distance being that from the query back to
    the input: 0 for the latest.

    Where an input stands is told by that bias alone, counted from each query's own end, not by a
    vector for each place in the window. Histories are ragged, and every position of a sequence is
    a target: counted from the end of the *window*, an early query would depend on how many inputs
    follow it; counted from its beginning, a full history at serving has a place that no stretch
    of training has, and all places move when a user's oldest item falls out. Distances do neither,
    and the weights fit any `max_history`.

    Source: Kang and McAuley, 2018 (arXiv 1808.09781). Deviations: norms before the parts (Xiong et
    al., 2020, arXiv 2002.04745) and one at the end; the bias by distance (Raffel et al., 2020,
    arXiv 1910.10683) for learned positions, started at the slopes of Press et al., 2022 (arXiv
    2108.12409); a START input before the first item; no bias on keys, where it cancels and Adam
    would follow rounding errors; nothing dropped inside the attention, whose
    kernel draws from a generator that nobody handed in.
    """

    name = "sasrec"
    has_users = False

    def __init__(self, layers: int = 2, heads: int = 2) -> None:
        """`layers` blocks; `heads` must divide the width of the item rows."""
        self.layers = layers
        self.heads = heads

    @property
    def settings(self) -> dict[str, int]:
        return {"layers": self.layers, "heads": self.heads}

    def layout(self, dim: int) -> Layout:
        if dim % self.heads:
            raise ValueError(f"heads: must divide embedding_dim {dim}, got {self.heads}")
        return Layout(
            (
                ("attention_in", (self.layers, 3 * dim, dim)),
                ("attention_out", (self.layers, dim, dim)),
                ("point_in", (self.layers, dim, dim)),
                ("point_out", (self.layers, dim, dim)),
                ("start", (dim,)),
                ("distance", (self.layers, self.heads, _DISTANCES)),
                ("biases", (self.layers, 5, dim)),
                ("gains", (2 * self.layers + 1, dim)),
                ("shifts", (2 * self.layers + 1, dim)),
            )
        )

    def depths(self, dim: int) -> Tensor:
        """A block is a layer; START's vector belongs to the first, the norm at the end to the
        last."""
        layout = self.layout(dim)
        depths = torch.zeros(layout.size, dtype=torch.int64)
        for name, part in layout.views(depths).items():
            numbers = torch.arange(len(part)) * (name != "start")
            if name in ("gains", "shifts"):  # two norms a block, and the last one
                numbers = (numbers // 2).clamp(max=self.layers - 1)
            part += numbers.view(-1, *[1] * (part.ndim - 1))
        return depths

    def initial(self, dim: int, seed: int) -> Tensor:
        noise = initial_rows(seed, 0, 6 * self.layers * dim + 1, dim)
        slopes = 2.0 ** (-8.0 * torch.arange(1, self.heads + 1) / self.heads)
        falling = -slopes[:, None] * torch.arange(_DISTANCES)
        return self.layout(dim).flat(
            [
                noise[:-1],
                noise[-1] * dim**0.5,
                falling.expand(self.layers, -1, -1),
                torch.zeros(5 * self.layers * dim),
                torch.zeros(2 * (2 * self.layers + 1) * dim),
            ]
        )

    def queries(self, given: Inputs, dense: Dense, dropout: Dropout | None) -> Tensor:
        x = scaled_inputs(given, dense["start"])
        if dropout is not None:
            x = dropout(x)
        bias = _biases(dense["distance"], x.shape[1])
        for layer in range(self.layers):
            part = self._attend(_normal(x, dense, 2 * layer), dense, layer, bias[layer])
            x = x + (part if dropout is None else dropout(part))
            part = _point(_normal(x, dense, 2 * layer + 1), dense, layer)
            x = x + (part if dropout is None else dropout(part))
        return _normal(x, dense, 2 * self.layers)

    def examples(self, given: Inputs, last: Tensor, dense: Dense) -> tuple[Tensor, Backward]:
        return examples_by_autograd(self, given, last, dense)

    def _attend(self, x: Tensor, dense: Dense, layer: int, bias: Tensor) -> Tensor:
        """What each position takes from itself and those before it, [B, S, D]."""
        biases = dense["biases"][layer]
        for_queries_and_values = torch.cat([biases[0], torch.zeros_like(biases[0]), biases[1]])
        joint = F.linear(x, dense["attention_in"][layer], for_queries_and_values)
        split = joint.view(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        taken = F.scaled_dot_product_attention(split[0], split[1], split[2], attn_mask=bias)
        together = taken.transpose(1, 2).reshape(x.shape)
        return F.linear(together, dense["attention_out"][layer], biases[2])


def _biases(table: Tensor, steps: int) -> Tensor:
    """What is added to each layer's and head's logits, [L, H, S, S]: −∞ for what comes later."""
    at = torch.arange(steps, device=table.device)
    distance = at[:, None] - at[None, :]
    bias = table[:, :, distance.clamp(0, _DISTANCES - 1)]
    return bias.masked_fill(distance < 0, -torch.inf)


def _normal(x: Tensor, dense: Dense, place: int) -> Tensor:
    """Layer normalisation; gains are kept as what they differ from 1 by, as decay pulls to 0."""
    return F.layer_norm(x, x.shape[-1:], dense["gains"][place] + 1.0, dense["shifts"][place])


def _point(x: Tensor, dense: Dense, layer: int) -> Tensor:
    """The point-wise network, [B, S, D]."""
    biases = dense["biases"][layer]
    inside = F.linear(x, dense["point_in"][layer], biases[3]).relu()
    return F.linear(inside, dense["point_out"][layer], biases[4])
