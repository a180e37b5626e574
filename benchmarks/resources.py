"""Item rows in fewer bytes: what they cost in answers and in time.

Of each form: the share of float32's top 20 that its own top 20 has, bytes and search time as
ratios to float32, in the same run and one thread. *Random* is a table of independent normals, where
neighbours lie as close as they can; *trained* is what the service's update makes of walks through a
catalogue in which every item has its next ones. Pruning is of the half of the items with the fewest
events: what is lost are these.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from benchmarks.figures import Figure, medians
from models.compression import ROWS, compress, kept_rows, low_rank
from models.config import LearningConfig
from models.continual.state import LearningState
from models.continual.window import learn_window
from models.interactions import Event
from models.ranking.compressed import CompressedIndex
from models.ranking.index import ExactIndex

ITEMS, DIM, QUERIES, K = 50_000, 64, 64, 20
TRAINED_ITEMS, USERS, STEPS = 2_000, 1_500, 20


def run() -> Iterator[Figure]:
    """Random rows, then trained ones."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        generator = torch.Generator().manual_seed(0)
        vectors = torch.randn(ITEMS, DIM, generator=generator)
        yield from _table("random", vectors, torch.randn(QUERIES, DIM, generator=generator))
        state, queries = _trained()
        vectors = state.net.item_vectors().contiguous()
        yield from _table("trained", vectors, queries)
        yield from _pruned(state, vectors, queries)
    finally:
        torch.set_num_threads(threads)


def _table(name: str, vectors: Tensor, queries: Tensor) -> Iterator[Figure]:
    plain = ExactIndex.build(vectors)
    best = plain.search(queries, K)[1]
    for kind in ROWS[1:]:
        kept = compress(vectors, kind)
        yield from _figures(f"{name}, {kind}", CompressedIndex(kept), kept.nbytes, plain, queries)
    for rank in (DIM // 2, DIM // 4):
        factors = low_rank(vectors, rank)
        index, told = ExactIndex.build(factors.left), queries @ factors.right.T
        found = index.search(told, K)[1]
        ours, theirs = medians(
            lambda index=index, told=told: index.search(told, K),  # type: ignore[misc]
            lambda: plain.search(queries, K),
        )
        yield _agreement(f"{name}, rank {rank}", found, best)
        yield _ratio(f"{name}, rank {rank}: bytes", factors.nbytes, vectors.nbytes, "bytes")
        yield _ratio(f"{name}, rank {rank}: search", ours * 1e3, theirs * 1e3, "ms")


def _figures(
    name: str, index: ExactIndex, size: int, plain: ExactIndex, queries: Tensor
) -> Iterator[Figure]:
    yield _agreement(name, index.search(queries, K)[1], plain.search(queries, K)[1])
    yield _ratio(f"{name}: bytes", size, len(plain) * DIM * 4, "bytes")
    ours, theirs = medians(lambda: index.search(queries, K), lambda: plain.search(queries, K))
    yield _ratio(f"{name}: search", ours * 1e3, theirs * 1e3, "ms")


def _pruned(state: LearningState, vectors: Tensor, queries: Tensor) -> Iterator[Figure]:
    counts, nothing = state.counts, torch.zeros(len(state.counts), dtype=torch.int64)
    rare = float(counts.median()) + 1.0
    kept = kept_rows(counts, nothing, nothing.bool(), min_events=rare)
    found = kept[ExactIndex.build(vectors[kept]).search(queries, K)[1]]
    yield _agreement(
        "trained, rare half pruned", found, ExactIndex.build(vectors).search(queries, K)[1]
    )
    yield _ratio("trained, rare half pruned: bytes", len(kept) * DIM * 4, vectors.nbytes, "bytes")


def agreement(found: Tensor, best: Tensor) -> float:
    """The share of `best` [B, K] that is in `found` [B, K], line by line."""
    return float((best[:, :, None] == found[:, None, :]).any(2).double().mean())


def _agreement(name: str, found: Tensor, best: Tensor) -> Figure:
    return Figure(f"{name}: Recall@{K} of float32's", agreement(found, best), "")


def _ratio(name: str, value: float, reference: float, unit: str) -> Figure:
    return Figure(name, value, unit, value / reference, "float32")


def _trained() -> tuple[LearningState, Tensor]:
    """A learned state, and queries of users in the middle of their walks."""
    random = np.random.default_rng(0)
    at = (random.zipf(1.3, USERS) - 1) % TRAINED_ITEMS
    events, histories = list[Event](), [[int(item)] for item in at]
    for step in range(STEPS):
        for user in range(USERS):
            key = step * USERS + user
            item = f"i{at[user]}"
            events.append(Event(f"u{user}", item, "click", 1.0, key, key, user_key=user << 40))
            histories[user].append(int(at[user]))
        at = (at * 7 + random.integers(3, size=USERS)) % TRAINED_ITEMS
    config = LearningConfig(probe_share=0.0, holdout_share=0.0, methods=())
    state = learn_window(LearningState.initial(config), events, seed=0, draw=()).state
    rows = [[state.items.row(f"i{item}") for item in one[-9:]] for one in histories[:QUERIES]]
    return state, state.net.encode(rows)
