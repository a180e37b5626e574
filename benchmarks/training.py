"""Training: target positions per second, and what the methods against forgetting cost per step.

One batch of 128 sequences of 50 steps, all positions targets, 1,024 shared negatives, is learned by
the update's own session. The reference is the plain step a textbook would write for the same model:
`nn.Embedding` with sparse gradients, `nn.GRU`, `cross_entropy` over the same number of candidates,
Adam for the weights and Adagrad for the table. EWC's cost is its step over the step without any
method, in interleaved rounds, at 10 thousand and a million rows, for the GRU and for matrix
factorization. A second thread is set against one. The whole update (epochs, replay, EWC, Fisher,
consolidation) is timed at the end, and with all of EWC's anchors over that with a moving one: rows
that nobody touches are pulled then as well, in each pass where the rate falls.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.figures import Figure, medians
from models.batches import SampleSet, SequenceBatch
from models.config import LearningConfig
from models.continual.methods import chosen_methods
from models.continual.moments import Start
from models.continual.session import Session
from models.continual.state import LearningState
from models.continual.update import update
from models.interactions import Sample
from models.vocabulary import Vocabulary

STEPS, BATCH = 50, 128
SMALL, MIDDLE, LARGE = 10_000, 200_000, 1_000_000


def run() -> Iterator[Figure]:
    """Figures in the order of the module's text; in one thread, as the learner runs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.sparse.check_sparse_tensor_invariants(enable=False):  # type: ignore[no-untyped-call]
            yield from _against_plain()
        for encoder in ("gru", "mf"):
            for items in (SMALL, LARGE):
                yield _cost_of_ewc(encoder, items)
        yield _second_thread()
        yield _whole_update(8)
        yield _whole_update(32)
        for final_rate in (1.0, 0.1):
            yield _cost_of_anchors(final_rate)
    finally:
        torch.set_num_threads(threads)


def _against_plain() -> Iterator[Figure]:
    state, batch = _state("gru", SMALL), _batch(SMALL)
    session = _session(state, ("online-ewc", "replay"))
    ours, plain = medians(lambda: session.train(batch), PlainGru(SMALL, batch).step)
    positions = batch.num_targets
    yield Figure("plain GRU step", positions / plain, "positions/s")
    yield Figure("GRU step, EWC on", positions / ours, "positions/s", plain / ours, "plain")


def _second_thread() -> Figure:
    session, batch = _session(_state("gru", SMALL), ("online-ewc", "replay")), _batch(SMALL)

    def step(threads: int) -> None:
        torch.set_num_threads(threads)
        session.train(batch)

    one, two = medians(lambda: step(1), lambda: step(2))
    torch.set_num_threads(1)
    return Figure(
        "GRU step in two threads", batch.num_targets / two, "positions/s", one / two, "one"
    )


def _cost_of_ewc(encoder: str, items: int) -> Figure:
    state, batch = _state(encoder, items), _batch(items)
    none, ewc = _session(state, ()), _session(state, ("online-ewc",))
    without, with_ewc = medians(lambda: none.train(batch), lambda: ewc.train(batch))
    name = f"EWC step, {encoder}, {items:,} rows"
    return Figure(name, with_ewc * 1e3, "ms", with_ewc / without, "no method")


def _whole_update(batches: int) -> Figure:
    """Positions per second of everything that turns samples into a consolidated state.

    A small window takes its least number of steps in smaller batches, which costs speed.
    """
    samples = _samples(batches, SMALL)
    half = len(samples) // 2
    before = time.perf_counter()
    _, report = update(_state("gru", SMALL), samples[:half], samples[half:], seed=0)
    seconds = time.perf_counter() - before
    name = f"whole update of {len(samples):,} samples, EWC and replay on"
    return Figure(name, report.positions / seconds, "positions/s")


def _cost_of_anchors(final_rate: float) -> Figure:
    """A whole update under `ewc` over one under `online-ewc`, the second of two."""
    samples, spent = _samples(8, MIDDLE), {}
    for method in ("online-ewc", "ewc"):
        state = _state("gru", MIDDLE, methods=(method,), final_rate=final_rate)
        state, _ = update(state, samples[: len(samples) // 2], (), seed=0)
        before = time.perf_counter()
        update(state, samples[len(samples) // 2 :], (), seed=1)
        spent[method] = time.perf_counter() - before
    name = f"whole update under ewc, {MIDDLE:,} rows, final_rate {final_rate:g}"
    return Figure(name, spent["ewc"], "s", spent["ewc"] / spent["online-ewc"], "online-ewc")


def _samples(batches: int, items: int) -> list[Sample]:
    random, length = np.random.default_rng(1), STEPS
    lines = random.integers(items, size=(batches * BATCH, length)).tolist()
    return [
        Sample("u", tuple(map(str, line)), length, ("click",) * length, (1.0,) * length, n, n)
        for n, line in enumerate(lines)
    ]


def _state(encoder: str, items: int, **asked: Any) -> LearningState:
    users = BATCH if encoder == "mf" else 0
    state = LearningState.initial(LearningConfig(encoder=encoder, **asked))
    known = dataclasses.replace(
        state,
        items=Vocabulary(map(str, range(items))),
        users=Vocabulary(map(str, range(users))),
    )
    return known.untrained().with_rows()


def _session(state: LearningState, methods: tuple[str, ...]) -> Session:
    """A session in which the methods pull on every row."""
    config = dataclasses.replace(state.config, methods=methods)
    start = Start(state.net.snapshot(), {"items": len(state.items), "users": len(state.users)})
    ready = {name: method.begun(start) for name, method in chosen_methods(config).items()}
    for method in ready.values():
        for tensor in method.state_dict().values():
            tensor.fill_(1e-3)
    return Session(dataclasses.replace(state, config=config, methods=ready), 0, "cpu")


def _batch(items: int) -> SequenceBatch:
    """Items by a law of popularity, every user with a row."""
    random = np.random.default_rng(0)
    chances = 1.0 / np.arange(1, items + 1) ** 0.8
    found = SampleSet(
        items=random.choice(items, size=BATCH * STEPS, p=chances / chances.sum()),
        offsets=np.arange(BATCH + 1) * STEPS,
        num_targets=np.full(BATCH, STEPS),
        users=np.arange(BATCH),
        weights=np.ones(BATCH * STEPS, np.float32),
    )
    return found.batch(np.arange(BATCH))


class PlainGru(torch.nn.Module):
    """The same network as a textbook writes it, on the same batch again and again."""

    def __init__(self, items: int, batch: SequenceBatch) -> None:
        super().__init__()
        config = LearningConfig()
        self._batch, self._negatives = batch, config.num_negatives
        self._items = torch.nn.Embedding(items + 1, config.embedding_dim, sparse=True)
        self._gru = torch.nn.GRU(config.embedding_dim, config.embedding_dim, batch_first=True)
        self._dropout = torch.nn.Dropout(config.dropout)
        self._dense = torch.optim.Adam(self._gru.parameters(), lr=config.learning_rate)
        self._table = torch.optim.Adagrad(self._items.parameters(), lr=config.learning_rate)
        self._scale = config.temperature

    def step(self) -> None:
        """One step of both optimizers."""
        negatives = torch.randint(len(self._items.weight) - 1, (self._negatives,))
        states, _ = self._gru(self._dropout(self._items(self._batch.inputs + 1)))
        queries = F.normalize(self._dropout(states).flatten(0, 1), dim=1) * self._scale
        own = F.normalize(self._items(self._batch.targets.flatten() + 1), dim=1)
        others = F.normalize(self._items(negatives + 1), dim=1)
        logits = torch.cat([(queries * own).sum(1, keepdim=True), queries @ others.T], dim=1)
        loss = F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64))
        self._dense.zero_grad()
        self._table.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._dense.step()
        self._table.step()
