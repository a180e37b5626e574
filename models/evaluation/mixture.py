"""The shipped recipe: slow weights, fast memory and the mixer over both."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from models.evaluation.arm import ArmSetup
from models.evaluation.asking import ask
from models.evaluation.learning import Learner
from models.evaluation.popularity import counts
from models.evaluation.questions import Questions
from models.evaluation.scores import Floats, Scores, SharedScores, SparseScores
from models.evaluation.stream import Slice
from models.memory.config import MemoryConfig
from models.memory.memory import FastMemory, Observed
from models.mixing.blend import Blend
from models.mixing.features import Candidates
from models.mixing.mixer import Lesson
from models.mixing.mixing import Mixing
from models.mixing.network import Network
from models.sources import Proposal, Question

WARM_UP = 0.8
"""Share of the base that is learned before the mixer is: on the rest it hears everybody speak of
what they have not seen."""
AT_ONCE = 1_000
"""Events that the memory observes at once; those of a service come in smaller batches."""
HISTORY = 200
"""Events of a user that a question knows, as many as the service keeps."""


class Mixture(Learner):
    """Learned weights, the fast memory, and the mixer that hears both.

    The memory observes every stretch that has been answered for; the weights and the mixer learn at
    each update. What the mixer learns from are questions of the stream as they stood when they were
    asked, a bounded sample of them.

    Args:
        setup: as for `Learner`.
        memory: bounds and half-lives.
        blend: the sources.
        lessons: questions of an update that the mixer learns from, at most.
    """

    def __init__(
        self,
        setup: ArmSetup,
        memory: MemoryConfig | None = None,
        blend: Blend | None = None,
        lessons: int = 4_000,
    ) -> None:
        super().__init__(setup)
        self.memory = FastMemory(memory or MemoryConfig())
        self.blend = blend or Blend.of()
        self.mixing = Mixing.initial(self.blend.names, setup.seed)
        self._lessons_kept = lessons
        self._lessons: list[Lesson] = []
        self._random = np.random.default_rng(setup.seed)

    def fit(self, base: Slice) -> None:
        middle = base.start + round(WARM_UP * len(base))
        first = Slice(base.stream, base.start, middle)
        rest = Slice(base.stream, middle, base.stop)
        super().fit(first)
        self._rest = SharedScores(counts(first))
        self._remember(first)
        self._share = self._lessons_kept / max(len(rest), 1)
        for stretch in rest.windows(max(1, len(rest) // 10)):
            self.observe(stretch)
        self.update(rest)

    def observe(self, stretch: Slice) -> None:
        self._lessons += self._heard(stretch)
        self._remember(stretch)
        popular = counts(stretch)
        popular[: len(self._rest.scores)] += self._rest.scores
        self._rest = SharedScores(popular)

    def update(self, period: Slice) -> None:
        self.mixing, self.report = self.mixing.after(self._lessons, seed=period.start)
        self._share = self._lessons_kept / max(len(period), 1)
        self._lessons = []
        super().update(period)

    def scores(self, questions: Questions) -> Scores:
        drafts = [candidates for candidates, _ in self.drafts(questions)]
        offsets = np.cumsum([0, *(len(draft) for draft in drafts)])
        values = [_above_zero(self.mixing.scores(draft.features)) for draft in drafts]
        items = np.concatenate([draft.items for draft in drafts])
        return SparseScores(items, offsets, np.concatenate(values), self._rest)

    def drafts(self, questions: Questions) -> Iterator[tuple[Candidates, dict[str, Proposal]]]:
        """The candidates for each question, described, and what each source said."""
        queries = self.version.queries(questions)
        with torch.inference_mode():
            network = queries @ self.version.vectors.T
        history = questions.histories(HISTORY)
        now = questions.now_ms
        for at in range(len(questions)):
            mine = slice(int(history.offsets[at]), int(history.offsets[at + 1]))
            known = history.items[mine] < self.memory.num_items
            question = Question(
                history.items[mine][known],
                history.times_ms[mine][known] / 1_000.0,
                float(now[at]) / 1_000.0,
                int(questions.users[at]),
            )
            yield self.blend.draft(self.memory, question, Network(network[at]))

    def _heard(self, stretch: Slice) -> Iterator[Lesson]:
        """A sample of the stretch's questions of learnable users, and what came of them."""
        questions, targets = ask(stretch)
        learnable = ~stretch.stream.probe[questions.users]
        chosen = learnable & (self._random.random(len(questions)) < self._share)
        places = np.flatnonzero(chosen)
        order = np.argsort(targets.question, kind="stable")
        bounds = np.searchsorted(targets.question[order], [places, places + 1])
        picked = Questions(questions.stream, *(getattr(questions, part)[places] for part in _PARTS))
        for (draft, _), first, last in zip(self.drafts(picked), *bounds, strict=True):
            came = np.isin(draft.items, targets.target[order[first:last]])
            if came.any():
                yield Lesson(draft.features.astype(np.float16), np.flatnonzero(came))

    def _remember(self, stretch: Slice) -> None:
        rows, stream = stretch.rows, stretch.stream
        for start in range(0, len(rows), AT_ONCE):
            part = rows[start : start + AT_ONCE]
            self.memory.observe(
                Observed(
                    stream.user[part].astype(np.uint64),
                    stream.item[part],
                    stream.time_ms[part] / 1_000.0,
                    stream.weight[part].astype(np.float64),
                )
            )


_PARTS = ("users", "starts", "stops", "kinds")


def _above_zero(z: Floats) -> Floats:
    """The same order, all above 0."""
    return np.asarray(np.exp(z.astype(np.float64) - z.max(initial=0.0)) + 1e-300)
