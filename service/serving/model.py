"""What one version answers with: immutable, taken once per request, replaced in one assignment.

Threads: a `ServingModel` is read by the event loop and the ranking thread while the watcher makes
the next. Nothing in it changes after `ServingModel.load` returns; the last request that holds a
reference keeps it alive, so at a swap two of them live for as long as the slowest request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.compression import compress
from models.mixing.bundle import mixing_from
from models.nets import event_counts, load_serving
from models.ranking.compressed import CompressedIndex
from models.ranking.index import ExactIndex
from models.ranking.novelty import Novelty
from models.ranking.uncertainty import Uncertainty
from models.sources import SOURCES
from models.vocabulary import Vocabulary
from service.domain.versions import VersionRecord
from service.logs import get_logger

if TYPE_CHECKING:
    from models.mixing.mixing import Mixing
    from models.nets import Recommender as Net
    from models.parameters import Bundle
    from models.ranking.index import Index

log = get_logger("model")

_WARM_UP_ROUNDS = 2
_WARM_UP_BATCH = 8


class Vectors(Protocol):
    """A tensor [N, D], or something that is read like one."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Tensor: ...

    def index_select(self, dim: int, index: Tensor) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class ServingModel:
    """One version, ready to answer."""

    version: int
    learned_until_ms: int | None
    max_history: int
    items: Vocabulary
    users: Vocabulary
    vectors: Vectors
    """Item vectors [N, D], read by `vectors[rows]`; exactly those that the index scores by."""
    index: Index
    net: Net | None
    """None for a version that has learned nothing."""
    knows_users: bool
    """Whether a user's row alone, without a history, makes a query."""
    novelty: Novelty | None = None
    """How new its items are; None where the version does not say."""
    events: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    """How often each item was a positive event that the version learned, [N] float64."""
    uncertainty: Uncertainty = field(default_factory=lambda: Uncertainty(torch.zeros(0), 0.0))
    """How far each vector may be from what was learned."""
    rows: str = "float32"
    """How `vectors` are kept, one of `models.compression.ROWS`."""
    mixing: Mixing | None = None
    """What ranks the sources' candidates; None where the version has none, or one that has learned
    to hear other sources than those that are asked."""

    @classmethod
    def empty(cls, record: VersionRecord) -> ServingModel:
        """A version that has learned nothing: every answer comes from the fallback lists."""
        vectors = torch.zeros(0, 1)
        return cls(
            version=record.version,
            learned_until_ms=record.learned_until_ms,
            max_history=1,
            items=Vocabulary(),
            users=Vocabulary(),
            vectors=vectors,
            index=ExactIndex.build(vectors),
            net=None,
            knows_users=False,
        )

    @classmethod
    def load(
        cls,
        record: VersionRecord,
        bundle: Bundle,
        rows: str = "float32",
        sources: Sequence[str] = tuple(SOURCES),
    ) -> ServingModel:
        """Build a version from its verified files and try it once.

        Args:
            rows: how item vectors are kept to be searched, one of `models.compression.ROWS`; the
                encoder's own table stays as it was trained.
            sources: those that are asked beside the network; none where it answers alone.

        Raises:
            ValueError: the bundle makes no net, or one whose vectors are not finite, or its mixing
                is broken.
        """
        net, items, users = load_serving(bundle)
        with torch.inference_mode():
            vectors = net.item_vectors().contiguous()
        if not bool(torch.isfinite(vectors).all()):
            raise ValueError(f"version {record.version}: item vectors are not finite")
        if len(vectors) != len(items):
            raise ValueError(f"version {record.version}: {len(vectors)} rows, {len(items)} items")
        kept, index = _laid_out(vectors, rows)
        counts, events = bundle.tensors["serving"].get("counts"), event_counts(bundle)
        precision = bundle.tensors["serving"].get("precision")
        model = cls(
            version=record.version,
            learned_until_ms=record.learned_until_ms,
            max_history=net.max_history,
            items=items,
            users=users,
            vectors=kept,
            index=index,
            net=net,
            knows_users=net.encoder.has_users,
            novelty=None if counts is None else Novelty.of(counts),
            events=events,
            uncertainty=Uncertainty.of(vectors, events, precision),
            rows=rows,
            mixing=_mixing(bundle, sources, record.version),
        )
        model._warm_up()
        return model

    def learned_vectors(self) -> npt.NDArray[np.float32]:
        """Item vectors [N, D] as they were learned, whatever the index ranks by; not to be changed.

        Raises:
            ValueError: a version that has learned nothing has none.
        """
        if self.net is None:
            raise ValueError(f"version {self.version} has learned nothing")
        with torch.inference_mode():
            return self.net.item_vectors().numpy()

    def ranked_by(self, vectors: npt.NDArray[np.float32]) -> ServingModel:
        """The same version with other item vectors [N, D] to rank by; queries stay."""
        kept, index = _laid_out(torch.from_numpy(vectors), self.rows)
        return replace(self, vectors=kept, index=index)

    def heads(self, objectives: Sequence[str]) -> list[int] | None:
        """The heads of event types, −1 for one that has none; None where the version has none."""
        return None if self.net is None else self.net.heads.numbers(objectives)

    def encode(
        self,
        histories: Sequence[Sequence[int]],
        user_rows: Sequence[int],
        heads: Sequence[int] | None = None,
    ) -> Tensor:
        """Queries [B, D] of rows of histories, oldest first, and rows of users (−1 unknown).

        Args:
            histories: of any length each.
            user_rows: one for each.
            heads: as `heads` gives them; None: all through the query that types without one share.

        Raises:
            ValueError: a version that has learned nothing has no encoder.
        """
        if self.net is None:
            raise ValueError(f"version {self.version} has learned nothing")
        return self.net.encode(histories, user_rows, heads)

    def _warm_up(self) -> None:
        """Encode and search as requests will, so that the first of them is not the slow one."""
        if not len(self.items) or self.net is None:
            return
        longest = list(range(min(self.max_history, len(self.items))))
        objectives = ("", *self.net.heads.types)
        with torch.inference_mode():
            for batch, objective in product((1, _WARM_UP_BATCH) * _WARM_UP_ROUNDS, objectives):
                heads = self.heads([objective] * batch)
                queries = self.encode([longest] * batch, [-1] * batch, heads)
                if not bool(torch.isfinite(queries).all()):
                    raise ValueError(f"version {self.version}: queries are not finite")
                self.index.search(queries, min(20, len(self.items)))


def _laid_out(vectors: Tensor, rows: str) -> tuple[Vectors, Index]:
    if rows == "float32":
        return vectors, ExactIndex.build(vectors)
    kept = compress(vectors, rows)
    return kept, CompressedIndex(kept)


def _mixing(bundle: Bundle, sources: Sequence[str], version: int) -> Mixing | None:
    """The version's, made to hear the sources that are asked."""
    mixing = mixing_from(bundle, sources)
    learned = bundle.meta.get("mixing", {}).get("sources")
    if mixing is not None and mixing.sources != tuple(learned):
        log.info("the mixing has learned to hear others", version=version, sources=learned)
    return mixing
