"""What texts cost at 100,000 items: reading, writing one, neighbours, the tower, a request.

Words follow Zipf's law, so the commonest stand in a quarter of the items. Figures are processor
time of one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

from benchmarks.figures import Figure
from models.content.features import Content, HashedTokens, stacked
from models.content.neighbours import ContentIndex
from models.content.tower import Tower
from service.serving.content_newcomers import Newcomers

ITEMS, WORDS, CATEGORIES, DIM, NEWCOMERS = 100_000, 20, 200, 64, 20_000


def run() -> Iterator[Figure]:
    """Milliseconds of each, the median of many but for what is done once."""
    rng = np.random.default_rng(0)
    category = rng.integers(0, CATEGORIES, ITEMS)
    words = rng.zipf(1.3, size=(ITEMS, WORDS)) % 30_000
    contents = [
        Content(" ".join(f"w{word}" for word in line), categories=(f"c{number}",))
        for line, number in zip(words, category, strict=True)
    ]
    vectoriser = HashedTokens()
    started = time.process_time()
    rows = vectoriser.rows(contents)
    yield _figure("read 100,000 texts, once", time.process_time() - started)
    started = time.process_time()
    index = ContentIndex.empty(vectoriser.width, 2 * ITEMS)
    index = index.with_rows({f"i{number}": row for number, row in enumerate(rows)})
    yield _figure("lay out the index, once", time.process_time() - started)
    yield _figure("write one item", _median(lambda n: index.with_rows({f"n{n}": rows[n]})))
    recency = 1.0 / np.arange(1, 21)
    histories = rng.integers(0, ITEMS, size=(50, 20))
    yield _figure(
        "neighbours of a history of 20", _median(lambda n: index.propose(histories[n], recency, 99))
    )
    yield _figure("similar to one item", _median(lambda n: index.similar(f"i{n}", 20)))
    vectors = rng.normal(size=(CATEGORIES, DIM))[category] + rng.normal(size=(ITEMS, DIM))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    events = rng.integers(1, 50, ITEMS)
    matrix = stacked(rows, vectoriser.width)
    started = time.process_time()
    Tower.fit(matrix, vectors, events, normalize=True)
    yield _figure("fit the tower, once a version", time.process_time() - started)
    newcomers = Newcomers(
        tuple(f"n{number}" for number in range(NEWCOMERS)),
        torch.from_numpy(vectors[:NEWCOMERS].astype(np.float32)),
    )
    queries = torch.from_numpy(vectors.astype(np.float32))
    yield _figure(
        "rank 20,000 newcomers in a request",
        _median(lambda n: newcomers.joined(queries[n], [], 20, lambda _: True)),
    )


def _median(step: Callable[[int], object], rounds: int = 50) -> float:
    taken = []
    for number in range(rounds):
        started = time.process_time()
        step(number)
        taken.append(time.process_time() - started)
    return float(np.median(taken))


def _figure(name: str, seconds: float) -> Figure:
    return Figure(name, 1e3 * seconds, "ms")
