"""A recommender: tables of rows, the dense weights, and the encoder that reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.batches import START, SequenceBatch
from models.config import LearningConfig
from models.nets.adapters import NO_DOMAIN, AdaptedEncoder, Adapters
from models.nets.blocks import Blocks
from models.nets.encoder import Dense, Encoder, Inputs
from models.nets.growth import GrownEncoder
from models.nets.heads import Heads
from models.nets.registry import encoder_named, encoder_of
from models.nets.table import GrowableTable
from models.parameters import Layout, Snapshot, grown, touched_rows

_ENCODE_AT_ONCE = 512


class Recommender:
    """Scores are dot products: `encode(…) @ item_vectors().T`, normalisation and temperature in.

    A value like its tables: updates are made on a `grown` copy.

    Attributes:
        encoder: what turns histories and users into queries, blocks and adapters among it.
        base: the encoder without these.
        blocks: what the encoder has grown while in use.
        adapters: what it has for each domain.
        domains: [N] int64, the domain of each item, `NO_DOMAIN` for none; None without adapters.
        items, users: rows [N, D] and [U, D] (no users' rows where the encoder reads none).
        dense: all other weights, end to end: the encoder's, its blocks', the adapters', the heads',
            the log of the temperature, [P].
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
        adapters: Adapters | None = None,
        domains: Tensor | None = None,
    ) -> None:
        self.base = encoder
        self.blocks = blocks or Blocks()
        self.adapters = adapters or Adapters()
        self.encoder = _whole(encoder, self.blocks, self.adapters)
        self.domains = domains if self.adapters else None
        self.items = items
        self.users = users
        self.dense = dense
        self.normalize = normalize
        self.max_history = max_history
        self.heads = heads or Heads()
        self.layout = _layout(self.encoder, self.heads, items.dim)
        if dense.shape != (self.layout.size,):
            raise ValueError(f"dense: expected [{self.layout.size}], got {list(dense.shape)}")
        if self.adapters and (self.domains is None or len(self.domains) != len(items)):
            raise ValueError(f"domains: expected one for each of {len(items)} items")

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
        """The inverse of `tensors`, or of `snapshot` where there are no adapters, and `meta`.

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
            adapters=Adapters(tuple(meta.get("adapters", ())), int(meta.get("adapter_rank", 0))),
            domains=snapshot.get("domains"),
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
            **(
                {"adapters": list(self.adapters.domains), "adapter_rank": self.adapters.rank}
                if self.adapters
                else {}
            ),
        }

    def _block_lists(self) -> dict[str, list[list[int]]]:
        return {name: [list(units) for units in each] for name, each in self.blocks.units.items()}

    def snapshot(self) -> dict[str, Tensor]:
        """All parameters by name; the tensors are shared, not copied."""
        return {"items": self.items.rows, "users": self.users.rows, "dense": self.dense}

    def tensors(self) -> dict[str, Tensor]:
        """The parameters, and the domains of the items where there are adapters; shared."""
        return self.snapshot() | ({} if self.domains is None else {"domains": self.domains})

    def grown(self, items: int, users: int, device: str | torch.device = "cpu") -> Recommender:
        """A copy with so many rows on `device`; scores of what existed stay as they were."""
        return self._like(
            items=self.items.grown(items, device),
            users=self.users.grown(users if self.encoder.has_users else 0, device),
            dense=self.dense.to(device, copy=True),
            domains=_padded(self.domains, items, device),
        )

    @property
    def base_names(self) -> list[str]:
        """Of the encoder's own weights, without blocks, adapters, heads and temperature."""
        return [name for name, _ in self.base.layout(self.items.dim).shapes]

    def with_blocks(self, blocks: Blocks, seed: int) -> Recommender:
        """The same, rows shared, with these blocks on the encoder.

        Units that it has keep their weights, new ones begin as `Blocks.initial` has them and change
        no query, the others are gone.
        """
        born = blocks.layout(self.items.dim), blocks.initial(self.items.dim, seed)
        return self._like(dense=self._carried(blocks, self.adapters, *born), blocks=blocks)

    def with_adapters(self, adapters: Adapters, domains: Tensor, seed: int) -> Recommender:
        """The same, rows shared, with these adapters on the encoder.

        Those that it has keep their weights, new ones begin as `Adapters.initial` has them and
        change no query, the others are gone.

        Args:
            adapters: of the rank of those that it has, if it has any.
            domains: [n] int64 of the first items; the others have none.
            seed: of the new weights.
        """
        born = adapters.layout(self.items.dim), adapters.initial(self.items.dim, seed)
        return self._like(
            dense=self._carried(self.blocks, adapters, *born),
            adapters=adapters,
            domains=_padded(domains, len(self.items), self.dense.device),
        )

    def _like(self, **changes: Any) -> Recommender:
        """One that differs from this in `changes` alone; the rest is shared."""
        same = ("items", "users", "dense", "normalize", "max_history", "heads", "blocks")
        kept = {name: getattr(self, name) for name in (*same, "adapters", "domains")}
        return Recommender(self.base, **(kept | changes))

    def _carried(self, blocks: Blocks, adapters: Adapters, layout: Layout, born: Tensor) -> Tensor:
        """The dense weights under other blocks and adapters; new ones are taken from `born`."""
        into = _layout(_whole(self.base, blocks, adapters), self.heads, self.items.dim)
        return self.layout.carried(self.dense, into, layout.carried(born.to(self.dense), into))

    def on_cpu(self) -> Recommender:
        """The same on the CPU; this very one when it is there."""
        if self.dense.device.type == "cpu":
            return self
        return self.from_snapshot({k: v.cpu() for k, v in self.tensors().items()}, self.meta)

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
            domains=self.domains_of(touched.rows),
        )

    def domains_of(self, rows: Tensor) -> Tensor | None:
        """The domains [R] of item rows [R]; None without adapters."""
        return None if self.domains is None else self.domains[rows]

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


def _whole(base: Encoder, blocks: Blocks, adapters: Adapters) -> Encoder:
    """The encoder with what there is on it; adapters are the last."""
    grown = GrownEncoder(base, blocks) if blocks else base
    return AdaptedEncoder(grown, adapters) if adapters else grown


def _padded(domains: Tensor | None, items: int, device: str | torch.device) -> Tensor | None:
    """A copy for so many items, those behind without a domain."""
    if domains is None:
        return None
    return grown(domains.to(device), items, NO_DOMAIN)


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
