"""What ranks the candidates of a stream, and how it learns: the mixer, watched over by the experts.

A pure function of what was known and the lessons, shared by the service and the evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.mixing.features import place_of_rank
from models.mixing.hedge import MIXER, Experts
from models.mixing.mixer import Floats, Kept, Lesson, Mixer

LIST = 20
"""Places of a list that count."""
JUDGED = 5
"""Every so manyth lesson judges the mixer and does not teach it."""
MARGIN = 0.02
"""Relative loss on the judging lessons at which a trained mixer is refused."""
ENOUGH = 30
"""Judging lessons below which nothing is refused."""


@dataclass(frozen=True, slots=True)
class MixingReport:
    """What an update made of its lessons."""

    lessons: int
    answers: int
    """Of these, what was taken from an answer against what it showed beside."""
    judged_by: int
    before: float
    """Mean reciprocal rank@20 of the judging lessons by the mixer as it was …"""
    after: float
    """… and as it was trained to be."""
    kept: bool
    """Whether the trained one was taken."""
    leader: str
    regret: float
    speaks: dict[str, float]
    """The share of each source in what sets candidates apart."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Mixing:
    """The mixer and the experts that watch it; a value."""

    mixer: Mixer
    experts: Experts

    @classmethod
    def initial(cls, sources: Sequence[str], seed: int = 0) -> Mixing:
        """Nothing learned."""
        return cls(Mixer.initial(sources, seed), Experts.among(sources))

    @property
    def sources(self) -> tuple[str, ...]:
        return self.mixer.sources

    def hearing(self, sources: Sequence[str]) -> Mixing:
        """The same for other sources, in their order; itself where they are those it hears."""
        if self.sources == tuple(sources):
            return self
        return Mixing(self.mixer.hearing(sources), self.experts.hearing(sources))

    def scores(self, features: Kept) -> Floats:
        """Of candidates [C], better with a higher one: the mixer's, or by whom the leader names.

        Where a single source has been right more often than the mixer, its own order comes first,
        and the mixer's below, all as places between 0 and 1.
        """
        scores = self.mixer.scores(features)
        if self.experts.leader == MIXER:
            return scores
        said = features[:, place_of_rank(self.sources, self.experts.leader)]
        places = np.empty(len(scores))
        places[np.lexsort((scores, said))] = np.arange(len(scores)) / max(len(scores), 1)
        return places

    def after(self, lessons: Sequence[Lesson], *, seed: int) -> tuple[Mixing, MixingReport]:
        """What it is after the lessons of an update, the latest last.

        One lesson in five judges and does not teach. The trained mixer is taken unless it does
        worse by more than the margin on those, or is no number. The experts are judged by every
        lesson, none of which whom they judge has learned from: the mixer as it was by those that
        teach, the one that is taken by the others. So it leads as soon as it is worth it, and not
        one update later. Lessons of answers teach and judge nobody: an answer shows what the mixer
        held for the best, so among its items the mixer is right too easily, and the others too
        rarely.
        """
        judges, taught = _parted(lessons)
        trained = self.mixer.trained(taught, seed=seed)
        before, after = (_mean_rank(mixer, judges) for mixer in (self.mixer, trained))
        kept = len(judges) < ENOUGH or after >= before * (1.0 - MARGIN)
        kept = kept and bool(torch.isfinite(trained.weights).all())
        mixer = trained if kept else self.mixer
        experts = self.experts
        for judged, theirs in ((self.mixer, taught), (mixer, judges)):
            experts = experts.after([_gains(judged, one) for one in theirs if not one.answer])
        report = MixingReport(
            lessons=len(lessons),
            answers=sum(lesson.answer for lesson in lessons),
            judged_by=len(judges),
            before=before,
            after=after,
            kept=kept,
            leader=experts.leader,
            regret=experts.regret,
            speaks=mixer.speaks(judges or taught),
        )
        return Mixing(mixer, experts), report

    def tensors(self) -> dict[str, Tensor]:
        """All of it by name."""
        experts = self.experts
        return self.mixer.tensors() | {
            "experts.weights": torch.tensor(experts.weights, dtype=torch.float64),
            "experts.earned": torch.tensor(experts.earned, dtype=torch.float64),
            "experts.followed": torch.tensor(
                [experts.followed, float(experts.questions)], dtype=torch.float64
            ),
        }

    @classmethod
    def load(
        cls,
        sources: Sequence[str],
        tensors: Mapping[str, Tensor],
        features: Sequence[str] | None = None,
    ) -> Mixing:
        """The inverse of `tensors`.

        Args:
            features: what the mixer's weights are of, where that is not what is told by now.

        Raises:
            ValueError: it is of other sources, or other features.
        """
        followed, questions = tensors["experts.followed"].tolist()
        experts = Experts(
            (MIXER, *sources),
            tuple(tensors["experts.weights"].tolist()),
            tuple(tensors["experts.earned"].tolist()),
            followed,
            int(questions),
        )
        return cls(Mixer.load(sources, tensors, features), experts)


def _gains(mixer: Mixer, lesson: Lesson) -> dict[str, float]:
    """What each expert earns by a lesson: the best reciprocal rank of what came."""
    gains = {MIXER: _reciprocal(mixer.scores(lesson.features), lesson)}
    for source in mixer.sources:
        said = lesson.features[lesson.targets, place_of_rank(mixer.sources, source)]
        rank = float(said.max())
        gains[source] = rank if rank * LIST >= 0.999 else 0.0
    return gains


def _parted(lessons: Sequence[Lesson]) -> tuple[list[Lesson], list[Lesson]]:
    """Those that judge and those that teach. The lesson of an answer follows the one of the same
    event: where that one judges it does nothing."""
    judges, taught, number = list[Lesson](), list[Lesson](), 0
    for lesson in lessons:
        number += not lesson.answer
        if not number or number % JUDGED:
            taught.append(lesson)
        elif not lesson.answer:
            judges.append(lesson)
    return judges, taught


def _mean_rank(mixer: Mixer, lessons: Sequence[Lesson]) -> float:
    if not lessons:
        return 0.0
    ranks = [_reciprocal(mixer.scores(lesson.features), lesson) for lesson in lessons]
    return float(np.mean(ranks))


def _reciprocal(scores: Floats, lesson: Lesson) -> float:
    """0 where any score is no number: nothing compares with it, so everything would seem first."""
    if not np.isfinite(scores).all():
        return 0.0
    rank = 1 + int(np.count_nonzero(scores > scores[lesson.targets].max()))
    return 1.0 / rank if rank <= LIST else 0.0
