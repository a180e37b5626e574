"""The shipped recipe, weights beside fast memory and the mixer over both; and its parts alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch

from models.content.features import HashedTokens, Row
from models.content.neighbours import ContentIndex
from models.content.texts import Shelf
from models.evaluation.arm import Arm, ArmSetup
from models.evaluation.asking import ask
from models.evaluation.content import FEW, features
from models.evaluation.learning import Learner
from models.evaluation.popularity import counts
from models.evaluation.questions import Questions
from models.evaluation.scores import Floats, Ints, Scores, SharedScores, SparseScores
from models.evaluation.stream import Slice
from models.memory.config import MemoryConfig
from models.memory.memory import FastMemory, Observed
from models.mixing.blend import Blend
from models.mixing.features import Candidates
from models.mixing.mixer import Lesson
from models.mixing.mixing import Mixing
from models.mixing.network import Network
from models.sources import SOURCES, Question
from models.sources.question import NOTHING
from models.vocabulary import Vocabulary

WARM_UP = 0.8
"""Share of the base that is learned before the mixer is: on the rest it hears everybody speak of
what they have not seen. The weights then learn the base whole, as by a full retrain."""
AT_ONCE = 1_000
"""Events that the memory observes at once; those of a service come in smaller batches."""
HISTORY = 200
"""Events of a user that a question knows, as many as the service keeps."""
LESSONS = 8_000
"""Questions of an update that the mixer learns from, about: a quarter of a period's events, as in
a service, where a period has some thirty thousand."""


class Remembering:
    """The fast memory of a stream, in the stream's rows, and what its items say of themselves.

    An item that has not happened yet is no right answer, so its text is not read before.

    Args:
        config: bounds and half-lives of the memory.
        rows: features of items by id.
    """

    def __init__(self, config: MemoryConfig, rows: Mapping[str, Row]) -> None:
        self.memory = FastMemory(config)
        self._rows, self._seen = rows, 0
        self._index = ContentIndex.empty(HashedTokens().width, max(1, len(rows)))
        self._shelf = Shelf(lambda: self._index, FEW)
        self.rest = SharedScores(())
        """Events per item, which order what nobody proposes."""

    def observe(self, stretch: Slice) -> None:
        """Count what may be learned of a stretch."""
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
        self._read(stream.items)
        popular = counts(stretch)
        popular[: len(self.rest.scores)] += self.rest.scores
        self.rest = SharedScores(popular)

    def _read(self, items: Vocabulary) -> None:
        """Read what the items say that have happened since."""
        ids = items.ids[self._seen : self.memory.num_items]
        self._seen = self.memory.num_items
        self._index = self._index.with_rows({i: self._rows[i] for i in ids if i in self._rows})

    def questions(self, questions: Questions) -> Iterator[Question]:
        """The same as sources are asked: the latest events of each, those that are remembered."""
        history, now_ms = questions.histories(HISTORY), questions.now_ms
        texts = self._shelf.texts(questions.stream.items)
        for at in range(len(questions)):
            mine = slice(int(history.offsets[at]), int(history.offsets[at + 1]))
            known = history.items[mine] < self.memory.num_items
            yield Question(
                history.items[mine][known],
                history.times_ms[mine][known] / 1_000.0,
                float(now_ms[at]) / 1_000.0,
                int(questions.users[at]),
                texts,
            )

    def answers(self, items: list[Ints], values: list[Floats]) -> Scores:
        """Proposed items of each question with scores above 0; popularity orders the rest."""
        offsets = np.cumsum([0, *(len(its) for its in items)])
        return SparseScores(np.concatenate(items), offsets, np.concatenate(values), self.rest)


class SourceAlone(Arm):
    """What one source proposes, in its own order: what it is worth by itself.

    Args:
        name: of the source.
        setup: its `memory`.
    """

    def __init__(self, name: str, setup: ArmSetup) -> None:
        self._source = SOURCES[name]
        self._remembering = Remembering(setup.memory, features(setup))

    def fit(self, base: Slice) -> None:
        self._remembering.observe(base)

    def observe(self, stretch: Slice) -> None:
        self._remembering.observe(stretch)

    def update(self, period: Slice) -> None:
        """Nothing is left to learn: everything was observed."""

    def scores(self, questions: Questions) -> Scores:
        remembering = self._remembering
        said = [
            self._source.propose(remembering.memory, question)
            for question in remembering.questions(questions)
        ]
        return remembering.answers([one.items for one in said], [one.scores for one in said])


class Mixture(Learner):
    """Learned weights, the fast memory, and the mixer that hears both.

    The memory observes every stretch that has been answered for; the weights and the mixer learn at
    each update. What the mixer learns from are questions of the stream as they stood when they were
    asked, a bounded sample of them.

    Args:
        setup: as for `Learner`, with `memory` and `sources`.
    """

    def __init__(self, setup: ArmSetup) -> None:
        super().__init__(setup)
        self._remembering = Remembering(setup.memory, features(setup))
        self.blend = Blend.of(setup.sources)
        self.mixing = Mixing.initial(self.blend.names, setup.seed)
        self._lessons: list[Lesson] = []
        self._random = np.random.default_rng(setup.seed)

    def fit(self, base: Slice) -> None:
        middle = base.start + round(WARM_UP * len(base))
        first = Slice(base.stream, base.start, middle)
        rest = Slice(base.stream, middle, base.stop)
        super().fit(first)
        self._remembering.observe(first)
        self._share = LESSONS / max(len(rest), 1)
        for stretch in rest.windows(max(1, len(rest) // 10)):
            self.observe(stretch)
        self._mix(rest)
        super().fit(base)

    def observe(self, stretch: Slice) -> None:
        self._lessons += self._heard(stretch)
        self._remembering.observe(stretch)

    def update(self, period: Slice) -> None:
        self._mix(period)
        super().update(period)

    def _mix(self, period: Slice) -> None:
        """Let the mixer learn what was heard in `period`."""
        self.mixing, _ = self.mixing.after(self._lessons, seed=period.start)
        self._share = LESSONS / max(len(period), 1)
        self._lessons = []

    def scores(self, questions: Questions) -> Scores:
        """Of whom nothing is known the mixer is not asked: they get the popular ones."""
        items: list[Ints] = [NOTHING.items] * len(questions)
        values: list[Floats] = [NOTHING.scores] * len(questions)
        known = np.flatnonzero(np.diff(questions.histories(1).offsets) > 0)
        for at, draft in zip(known.tolist(), self._drafts(questions.chosen(known)), strict=True):
            items[at] = draft.items
            values[at] = _above_zero(self.mixing.scores(draft.features))
        return self._remembering.answers(items, values)

    def costs(self) -> dict[str, float]:
        experts = self.mixing.experts
        return super().costs() | {
            "mixer_questions": float(experts.questions),
            "mixer_regret": experts.regret,
        }

    def _drafts(self, questions: Questions) -> Iterator[Candidates]:
        """The candidates for each question, described."""
        queries = self.version.queries(questions)
        with torch.inference_mode():
            logits = queries @ self.version.vectors.T
        for at, question in enumerate(self._remembering.questions(questions)):
            network = Network(logits[at])
            yield self.blend.draft(self._remembering.memory, question, network)[0]

    def _heard(self, stretch: Slice) -> Iterator[Lesson]:
        """A sample of the stretch's questions of learnable users, and what came of them."""
        questions, targets = ask(stretch)
        learnable = ~stretch.stream.probe[questions.users]
        chosen = learnable & (self._random.random(len(questions)) < self._share)
        places = np.flatnonzero(chosen)
        order = np.argsort(targets.question, kind="stable")
        firsts, lasts = np.searchsorted(targets.question[order], [places, places + 1])
        drafts = self._drafts(questions.chosen(places))
        for draft, first, last in zip(drafts, firsts, lasts, strict=True):
            came = np.isin(draft.items, targets.target[order[first:last]])
            if came.any():
                yield Lesson(draft.features.astype(np.float16), np.flatnonzero(came))


def _above_zero(z: Floats) -> Floats:
    """The same order, all above 0."""
    return np.asarray(np.exp(z.astype(np.float64) - z.max(initial=0.0)) + 1e-300)
