"""What the sources and the mixer cost a recommendation.

Milliseconds per question, asked one after the other in one thread: each source alone, all of them
with the description of their candidates (`Blend.draft`), the mixer's scores, both together, and
`Mixture.mix`, which is what they add to a request: the same with a network's candidates among them,
in the ids of an answer. What is counted is the thread's own time on a core, so that
other jobs do not count as ours. The crowd: 30,000 sessions of 20 events, each within one of 500
clusters of items but for every fifth event, few items being popular; asked by histories of 20.
Ratios are to a product of a 100,000 × 64 matrix and a vector in the same run, which is what an
exact search costs. Items have twenty words, one of them their cluster's; one in a hundred more
never happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import replace
from itertools import islice

import numpy as np
import torch

from benchmarks.figures import Figure
from models.content.features import Content, HashedTokens
from models.content.neighbours import ContentIndex
from models.content.texts import Shelf, Texts
from models.memory.config import MemoryConfig
from models.memory.memory import FastMemory, Observed
from models.mixing.blend import Blend
from models.mixing.mixer import Mixer
from models.sources import Question
from models.vocabulary import Vocabulary
from service.domain.interactions import START
from service.domain.versions import Origin, VersionRecord, VersionStatus
from service.serving.catalogue import CatalogueView
from service.serving.memory_feed import Mirror
from service.serving.mixture import Mixture
from service.serving.model import ServingModel
from service.serving.retrieval import Found, Want
from service.serving.rules import Eligibility, Scored

SIZES = (10_000, 100_000)
SESSIONS, LENGTH, CLUSTERS = 30_000, 20, 500
QUESTIONS, STRAYING = 100, 0.2
GAP_S = 60.0
WORDS = 19
REFERENCE = "100,000 × 64 product"


def run() -> Iterator[Figure]:
    """At 10,000 and at 100,000 items."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for items in SIZES:
            yield from _figures(items)
    finally:
        torch.set_num_threads(threads)


def crowd(items: int) -> tuple[FastMemory, list[Question]]:
    """What was met, and who asks: more of the same sessions, not yet met."""
    random = np.random.default_rng(0)
    size = SESSIONS + QUESTIONS
    cluster = np.tile(random.integers(0, CLUSTERS, size), (LENGTH, 1)).T
    strays = random.random(cluster.shape) < STRAYING
    cluster[strays] = random.integers(0, CLUSTERS, int(strays.sum()))
    within = items // CLUSTERS
    place = (within * random.random((size, LENGTH)) ** 3).astype(np.int64)  # few are popular
    rows = cluster + CLUSTERS * place
    times = 30.0 * np.arange(size)[:, None] + GAP_S * np.arange(LENGTH)
    memory = FastMemory(MemoryConfig(sessions=SESSIONS))
    for start in range(0, SESSIONS, 1_000):
        part = slice(start, min(start + 1_000, SESSIONS))
        users = np.repeat(np.arange(part.start, part.stop), LENGTH).astype(np.uint64)
        met = rows[part].ravel()
        memory.observe(Observed(users, met, times[part].ravel(), np.ones(len(met))))
    texts = described(memory.num_items, items // 100)
    asked = [
        Question(rows[at][known], times[at][known], float(times[at, -1]) + GAP_S, at, texts)
        for at in range(SESSIONS, size)
        for known in [rows[at] < memory.num_items]
    ]
    return memory, asked


def described(size: int, new: int) -> Texts:
    """What the memory's items say of themselves, and others that it has never met."""
    random = np.random.default_rng(2)
    items = Vocabulary(str(row) for row in range(size))
    words = random.zipf(1.3, (size + new, WORDS)) % 20_000
    contents = [
        Content(title=f"cluster{at % CLUSTERS} " + " ".join(f"w{word}" for word in line))
        for at, line in enumerate(words.tolist())
    ]
    ids = (*items.ids, *(f"new{at}" for at in range(new)))
    rows = dict(zip(ids, HashedTokens().rows(contents), strict=True))
    index = ContentIndex.empty(HashedTokens().width, len(ids)).with_rows(rows)
    return Texts.of(index, items, few=5.0)


def _figures(items: int) -> Iterator[Figure]:
    memory, questions = crowd(items)
    blend = Blend.of()
    mixer = Mixer.initial(blend.names)
    drafts = {id(question): blend.draft(memory, question)[0] for question in questions}
    matrix = np.random.default_rng(1).random((100_000, 64), dtype=np.float32)
    ways: dict[str, Callable[[Question], object]] = {
        REFERENCE: lambda question: matrix @ matrix[question.items[-1]],
        **{
            name: lambda question, source=source: source.propose(memory, question)  # type: ignore[misc]
            for name, source in blend.sources.items()
        },
        "Blend.draft": lambda question: blend.draft(memory, question),
        "Mixer.scores": lambda question: mixer.scores(drafts[id(question)].features),
        "all together": lambda question: mixer.scores(blend.draft(memory, question)[0].features),
        "Mixture.mix": _answers(memory, blend, questions),
    }
    spent = {name: np.empty(len(questions)) for name in ways}
    for question in questions[:10]:
        for way in ways.values():
            way(question)
    for at, question in enumerate(questions):
        for name, way in ways.items():
            spent[name][at] = _milliseconds(way, question)
    yield from _told(f"{items:,} items", spent)
    yield Figure(f"{items:,} items: candidates", _median_size(list(drafts.values())), "")


def _answers(
    memory: FastMemory, blend: Blend, questions: Sequence[Question]
) -> Callable[[Question], object]:
    """What the ranking thread does for a request with sources and not without: candidates of a
    network that has vectors of all items are mixed in, and named as far as the answer goes."""
    items = Vocabulary(map(str, range(memory.num_items)))
    texts = questions[0].texts
    shelf = None if texts is None else Shelf(lambda: texts.index, texts.few)
    mixture = Mixture(lambda: Mirror(memory, items), blend, shelf)
    random = np.random.default_rng(2)
    vectors = torch.from_numpy(random.standard_normal((memory.num_items, 64), dtype=np.float32))
    record = VersionRecord(1, None, VersionStatus.ACTIVE, Origin.INITIAL, START, "", 0)
    theirs = Vocabulary(str(row) for row in random.permutation(memory.num_items))
    model = replace(ServingModel.empty(record), items=theirs, vectors=vectors)
    asked: dict[int, tuple[Want, Found]] = {}
    for question in questions:
        history = tuple(map(str, question.items.tolist()))
        want = Want(
            model,
            Eligibility(CatalogueView(), exclude=frozenset(history)),
            20,
            history=history,
            times_ms=tuple((1_000 * question.times).astype(int).tolist()),
            now_ms=int(1_000 * question.now_s),
            user_key=question.user,
        )
        query = vectors[int(random.integers(memory.num_items))]
        best = (vectors @ query).topk(blend.top)
        ranked = zip(map(theirs.id, best.indices.tolist()), best.values.tolist(), strict=True)
        asked[id(question)] = want, Found(list(ranked), query)

    def answered(question: Question) -> list[Scored]:
        want, found = asked[id(question)]
        ranked = mixture.mix(want, found).ranked
        return list(islice((one for one in ranked if want.eligible.allows(one[0])), want.limit))

    return answered


def _milliseconds(way: Callable[[Question], object], question: Question) -> float:
    began = time.thread_time()
    way(question)
    return (time.thread_time() - began) * 1e3


def _median_size(drafts: Sequence[Sized]) -> float:
    return float(np.median([len(draft) for draft in drafts]))


def _told(of: str, spent: dict[str, np.ndarray]) -> Iterator[Figure]:
    reference = float(np.median(spent[REFERENCE]))
    for name, taken in spent.items():
        median, worst = float(np.median(taken)), float(np.quantile(taken, 0.99))
        ratio = None if name == REFERENCE else median / reference
        yield Figure(f"{of}: {name}", median, "ms", ratio, REFERENCE if ratio else "")
        yield Figure(f"{of}: {name}, p99", worst, "ms")
