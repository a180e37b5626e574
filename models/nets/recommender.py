"""A recommender: tables of rows, the dense weights, and the encoder that reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.config import LearningConfig
from models.interactions import START, SequenceBatch
from models.nets.blocks import Blocks
from models.nets.encoder import Dense, Encoder, Inputs
from models.nets.growth import GrownEncoder
from models.nets.heads import Heads
from models.nets.registry import encoder_named, encoder_of
from models.nets.table import GrowableTable
from models.parameters import Layout, Snapshot, touched_rows

_ENCODE_AT_ONCE = 512


class Recommender:
    """Scores are dot products: `encode(…) @ item_vectors().T`, normalisation and temperature in.

    A value like its tables: updates are made on a `grown` copy.

    Attributes:
        encoder: what turns histories and users into queries, its blocks among it.
        base: the encoder without its blocks.
        blocks: what the encoder has grown while in use.
        items, users: rows [N, D] and [U, D] (no users' rows where the encoder reads none).
        dense: all other weights, end to end: the encoder's, its blocks', the heads', the log of
            the temperature, [P].
        heads: of event types, on what the encoder makes.
        layout: the names of `dense`.
    """

    def __init__(
        self,
        encoder: Encoder,
        items: GrowableTable,
        users: GrowableTable,
        dense: Tensor,
        *,
        normalize: bool,
        max_history: int,
        heads: Heads | None = None,
        blocks: Blocks | None = None,
    ) -> None:
        self.base = encoder
        self.blocks = blocks or Blocks()
        self.encoder = GrownEncoder(encoder, self.blocks) if self.blocks else encoder
        self.items = items
        self.users = users
        self.dense = dense
        self.normalize = normalize
        self.max_history = max_history
        self.heads = heads or Heads()
        self.layout = _layout(self.encoder, self.heads, items.dim)
        if dense.shape != (self.layout.size,):
            raise ValueError(f"dense: expected [{self.layout.size}], got {list(dense.shape)}")

    @classmethod
    def initial(cls, config: LearningConfig) -> Recommender:
        """An empty one: no rows, dense weights from the seed."""
        encoder, dim = encoder_of(config), config.embedding_dim
        heads, temperature = Heads(config.type_heads), torch.tensor([math.log(config.temperature)])
        return cls(
            encoder,
            GrowableTable(dim, config.seed * 3 + 1),
            GrowableTable(dim, config.seed * 3 + 2),
            torch.cat([encoder.initial(dim, config.seed * 3 + 3), heads.initial(dim), temperature]),
            normalize=config.normalize,
            max_history=config.max_history,
            heads=heads,
        )

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot, meta: dict[str, Any]) -> Recommender:
        """The inverse of `snapshot` and `meta`.

        Raises:
            ValueError: the encoder is not known or shapes do not fit.
        """
        dim, seed = int(meta["embedding_dim"]), int(meta["seed"])
        return cls(
            encoder_named(str(meta["encoder"]), meta),
            GrowableTable(dim, seed * 3 + 1, snapshot["items"]),
            GrowableTable(dim, seed * 3 + 2, snapshot["users"]),
            snapshot["dense"],
            normalize=bool(meta["normalize"]),
            max_history=int(meta["max_history"]),
            heads=Heads(tuple(meta.get("type_heads", ()))),
            blocks=Blocks(
                {name: tuple(map(tuple, units)) for name, units in meta.get("blocks", {}).items()}
            ),
        )

    @property
    def meta(self) -> dict[str, Any]:
        """Plain values that, with the snapshot, make this recommender again."""
        return {
            "encoder": self.encoder.name,
            **self.encoder.settings,
            "embedding_dim": self.items.dim,
            "normalize": self.normalize,
            "max_history": self.max_history,
            "seed": (self.items.seed - 1) // 3,
            **({"type_heads": list(self.heads.types)} if self.heads.types else {}),
            **({"blocks": self._block_lists()} if self.blocks else {}),
        }

    def _block_lists(self) -> dict[str, list[list[int]]]:
        return {name: [list(units) for units in each] for name, each in self.blocks.units.items()}

    def snapshot(self) -> dict[str, Tensor]:
        """All parameters by name; the tensors are shared, not copied."""
        return {"items": self.items.rows, "users": self.users.rows, "dense": self.dense}

    def grown(self, items: int, users: int, device: str | torch.device = "cpu") -> Recommender:
        """A copy with so many rows on `device`; scores of what existed stay as they were."""
        return Recommender(
            self.base,
            self.items.grown(items, device),
            self.users.grown(users if self.encoder.has_users else 0, device),
            self.dense.to(device, copy=True),
            normalize=self.normalize,
            max_history=self.max_history,
            heads=self.heads,
            blocks=self.blocks,
        )

    def with_blocks(self, blocks: Blocks, seed: int) -> Recommender:
        """The same, rows shared, with these blocks on the encoder.

        Units that it has keep their weights, new ones begin as `Blocks.initial` has them and change
        no query, the others are gone.
        """
        dim = self.items.dim
        into = _layout(GrownEncoder(self.base, blocks), self.heads, dim)
        born = blocks.layout(dim).carried(blocks.initial(dim, seed).to(self.dense), into)
        return Recommender(
            self.base,
            self.items,
            self.users,
            self.layout.carried(self.dense, into, born),
            normalize=self.normalize,
            max_history=self.max_history,
            heads=self.heads,
            blocks=blocks,
        )

    def on_cpu(self) -> Recommender:
        """The same on the CPU; this very one when it is there."""
        if self.dense.device.type == "cpu":
            return self
        return self.from_snapshot({k: v.cpu() for k, v in self.snapshot().items()}, self.meta)

    @property
    def base_names(self) -> list[str]:
        """Of the encoder's own weights, without blocks, heads and temperature."""
        return [name for name, _ in self.base.layout(self.items.dim).shapes]

    def vectors(self, rows: Tensor) -> Tensor:
        """What stands for rows [R, D] in queries and scores: their direction, if normalised."""
        return F.normalize(rows, dim=1, eps=1e-6) if self.normalize else rows

    def finish(self, hidden: Tensor, dense: Dense, heads: Tensor | None = None) -> Tensor:
        """Queries […, D] as they are scored with, from the encoder's: direction × temperature.

        Args:
            hidden: […, D], the encoder's.
            dense: the dense weights by name.
            heads: […] int64, the head that each goes through (−1 none); None: none does.
        """
        if heads is not None:
            hidden = self.heads(hidden, heads, dense)
        return self.scaled(hidden, dense)

    def scaled(self, hidden: Tensor, dense: Dense) -> Tensor:
        """The last part of `finish`, behind the heads."""
        if not self.normalize:
            return hidden
        return F.normalize(hidden, dim=-1, eps=1e-6) * dense["log_temperature"].exp()

    def queries(self, batch: SequenceBatch) -> Tensor:
        """Queries [B, S, D] after every input of a batch, each through the head that the batch has
        there, nothing dropped, no gradient."""
        with torch.no_grad():
            given, dense = self.gather(batch.inputs, batch.user_idx), self.layout.views(self.dense)
            return self.finish(self.encoder.queries(given, dense, None), dense, batch.heads)

    def gather(self, inputs: Tensor, user_idx: Tensor) -> Inputs:
        """Vectors of all rows that inputs [B, S] and users [B] name, and their places."""
        user_idx = self._known(user_idx)
        touched, touched_users = touched_rows(inputs), touched_rows(user_idx)
        return Inputs(
            items=self.vectors(self.items.rows[touched.rows]),
            users=self.vectors(self.users.rows[touched_users.rows]),
            inputs=touched.places[0],
            user_idx=touched_users.places[0],
        )

    def _known(self, user_idx: Tensor) -> Tensor:
        """User rows [B], −1 for users whose row is empty: nothing was ever learned of them."""
        if not self.encoder.has_users or not len(self.users):
            return torch.full_like(user_idx, -1)
        empty = ~self.users.rows[user_idx.clamp(min=0)].any(dim=1)
        return user_idx.masked_fill(empty, -1)

    def encode(
        self,
        histories: Sequence[Sequence[int]],
        user_rows: Sequence[int] | None = None,
        heads: Sequence[int] | None = None,
    ) -> Tensor:
        """Queries of users as they stand.

        Args:
            histories: rows of each user's items, oldest first; the latest `max_history` count,
                negative (unknown) ones do not.
            user_rows: each user's row, −1 unknown; None: all unknown.
            heads: the head that each query goes through, −1 the shared one; None: all of them.

        Returns:
            [B, D] float32.
        """
        users = [-1] * len(histories) if user_rows is None else list(user_rows)
        kept = [[row for row in history[-self.max_history :] if row >= 0] for history in histories]
        result = torch.empty(len(kept), self.items.dim, device=self.dense.device)
        order = sorted(range(len(kept)), key=lambda i: len(kept[i]))
        for first in range(0, len(order), _ENCODE_AT_ONCE):
            chosen = order[first : first + _ENCODE_AT_ONCE]
            result[chosen] = self._encode(
                [kept[i] for i in chosen],
                [users[i] for i in chosen],
                None if heads is None else [heads[i] for i in chosen],
            )
        return result

    def _encode(
        self, histories: list[list[int]], users: list[int], heads: list[int] | None
    ) -> Tensor:
        inputs = np.full((len(histories), 1 + max(map(len, histories))), START)
        for line, history in zip(inputs, histories, strict=True):
            line[1 : 1 + len(history)] = history
        device = self.dense.device
        nothing = torch.empty(0, device=device)
        batch = SequenceBatch(
            user_idx=torch.tensor(users, device=device),
            inputs=torch.from_numpy(inputs).to(device),
            targets=nothing,
            weights=nothing,
            heads=_everywhere(heads, inputs.shape, device),
        )
        last = torch.tensor([len(history) for history in histories], device=device)
        return self.queries(batch)[torch.arange(len(histories), device=device), last]

    def item_vectors(self) -> Tensor:
        """Vectors [N, D] of all items, ready to be searched with queries."""
        with torch.no_grad():
            return self.vectors(self.items.rows)


def _layout(encoder: Encoder, heads: Heads, dim: int) -> Layout:
    """Of all the dense weights."""
    own = encoder.layout(dim)
    return Layout((*own.shapes, *heads.shapes(dim), ("log_temperature", (1,))), own.numbers)


def _everywhere(
    heads: list[int] | None, shape: tuple[int, ...], device: torch.device
) -> Tensor | None:
    """The head of each line [B] at all of its positions, of shape [B, S]."""
    if heads is None:
        return None
    return torch.tensor(heads, device=device)[:, None].expand(shape)
