"""Sources, features, mixer and experts that are broken on purpose: some test must notice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from models.memory.memory import SLOW, FastMemory
from models.mixing import blend as blending
from models.mixing import features
from models.mixing.blend import Blend
from models.mixing.features import OF_ITEM, OF_PAIR, union
from models.mixing.hedge import Experts
from models.mixing.mixer import Lesson, Mixer
from models.mixing.mixing import Mixing
from models.sources import SOURCES, Proposal, Question
from models.sources.content import Content
from models.sources.covisits import Covisits, Walk
from models.sources.latest import Latest
from models.sources.neighbours import Neighbours
from models.sources.own import Own
from models.sources.popular import Popular
from models.sources.question import NOTHING, Ints
from models.sources.rules import Rules
from tests.contracts import test_sources as test_contract
from tests.models.mixing import test_blend, test_hedge, test_mixer, test_mixing
from tests.oracles import test_features, test_sources
from tests.oracles import test_mixer as test_formulas
from tests.oracles.mutants import Check, Mutant, assert_noticed, each_of

COVISITED, WALKED = Covisits.propose, Walk.propose
COMPARED, OWNED, READ = Neighbours.propose, Own.propose, Content.propose
DRAFTED, UNITED = Blend.draft, union
TRAINED, LEARNED, MIXED = Mixer.trained, Experts.after, Mixing.scores


def one_basket(self: Covisits, memory: FastMemory, question: Question) -> Proposal:
    """All of the history weighs alike."""
    at_once = Question(question.items, np.zeros(len(question.items)), question.now_s)
    return COVISITED(self, memory, at_once)


def steadfast(self: Content, memory: FastMemory, question: Question) -> Proposal:
    """All of the history weighs alike."""
    return READ(self, memory, replace(question, times=np.zeros(len(question.items))))


def loud(self: Content, memory: FastMemory, question: Question) -> Proposal:
    """Text speaks for what happens all the time, too."""
    assert question.texts is not None
    return READ(self, memory, replace(question, texts=replace(question.texts, few=math.inf)))


def backwards(self: Rules, memory: FastMemory, question: Question) -> Proposal:
    return Covisits(self.reach).propose(memory, question)


def anonymous(self: Neighbours, memory: FastMemory, question: Question) -> Proposal:
    return COMPARED(self, memory, replace(question, user=None))


def without_ageing(self: Neighbours, memory: FastMemory, question: Question) -> Proposal:
    return COMPARED(self, memory, replace(question, now_s=0.0))


def neighbours(**given: Any) -> Any:
    """The neighbours with other settings than those that were asked for."""
    return lambda self, memory, question: COMPARED(Neighbours(**given), memory, question)


def silenced(self: Blend, *given: Any) -> Any:
    """A source is asked, and what it says is dropped."""
    deaf = dict(self.sources) | {"walk": Mute()}
    return DRAFTED(Blend(deaf if "walk" in self.sources else self.sources, self.top), *given)


class Mute:
    def propose(self, memory: FastMemory, question: Question) -> Proposal:
        return NOTHING


def but_one(parts: Sequence[Ints]) -> Any:
    """The last source brings nothing in."""
    return UNITED(parts[:-1])


def zeroed(width: int) -> Any:
    return lambda *given: np.zeros((len(given[-1]), width), dtype=np.float32)


def unlearned(self: Mixer, lessons: Sequence[Lesson], **given: Any) -> Mixer:
    return self


def from_anew(self: Mixer, lessons: Sequence[Lesson], **given: Any) -> Mixer:
    """Forgets what Adam remembered."""
    fresh = Mixer.initial(self.sources)
    return TRAINED(
        Mixer.load(self.sources, fresh.tensors() | {"weights": self.weights}), lessons, **given
    )


def uphill(self: Mixer, lessons: Sequence[Lesson], **given: Any) -> Mixer:
    learned = TRAINED(self, lessons, **given)
    return replace(learned, weights=2.0 * self.weights - learned.weights)


def deaf(self: Experts, gains: Sequence[Mapping[str, float]]) -> Experts:
    """Weights stay; sums are kept."""
    return replace(LEARNED(self, gains), weights=self.weights)


def says(name: str, crowd: str = "many_sessions", size: int = 21) -> Check:
    return partial(test_sources.test_it_says_what_its_formula_says, name, crowd, size)


def believes() -> None:
    test_mixer.taught.cache_clear()
    try:
        test_mixer.test_whoever_is_always_right_is_believed("third")
    finally:
        test_mixer.taught.cache_clear()


def fuses() -> None:
    test_formulas.test_untaught_it_is_reciprocal_rank_fusion(5)


def describes() -> None:
    test_features.test_every_candidate_is_described_as_the_formulas_say(7)


MUTANTS: list[Mutant] = [
    ("steps do not count", Covisits, "propose", one_basket, says("covisits")),
    (
        "what has decayed to nothing is proposed",
        Rules,
        "propose",
        lambda self, memory, question: Proposal(question.items[:1], np.zeros(1)),
        lambda: test_contract.test_it_proposes_items_of_the_memory_once_each_ascending_with_scores(
            "rules", "one_of_the_crowd"
        ),
    ),
    (
        "the walk is one hop",
        Walk,
        "propose",
        lambda self, memory, question: Covisits().propose(memory, question),
        says("walk"),
    ),
    (
        "the walk goes where everybody goes",
        Walk,
        "propose",
        lambda self, memory, question: WALKED(Walk(damping=0.0), memory, question),
        says("walk"),
    ),
    (
        "the walk goes by way of anything",
        Walk,
        "propose",
        lambda self, memory, question: WALKED(Walk(middle=10**9), memory, question),
        lambda: test_sources.test_a_walk_goes_by_way_of_the_best_in_the_middle(5),
    ),
    ("rules know no direction", Rules, "propose", backwards, says("rules")),
    ("places count alike", Neighbours, "propose", neighbours(decay=None), says("neighbours")),
    ("sets have an order", Neighbours, "propose", neighbours(reach=100), says("sets")),
    ("old sessions are as good", Neighbours, "propose", without_ageing, says("neighbours")),
    (
        "one is one's own neighbour",
        Neighbours,
        "propose",
        anonymous,
        lambda: test_contract.test_nobody_is_a_neighbour_of_oneself("neighbours"),
    ),
    (
        "the hours do not count",
        Own,
        "propose",
        lambda self, memory, question: OWNED(Own(affinity=0.0), memory, question),
        says("own"),
    ),
    (
        "what trends is what ever was",
        Popular,
        "propose",
        lambda self, memory, question: Proposal(*memory.leaders(SLOW)),
        says("trending"),
    ),
    (
        "what is popular now is what ever was",
        Popular,
        "propose",
        lambda self, memory, question: Proposal(*memory.leaders(SLOW)),
        says("fast-popular", "brief"),
    ),
    ("the latest word says no more", Content, "propose", steadfast, says("content")),
    ("what is known is foretold", Content, "propose", loud, says("content")),
    (
        "the first are the latest",
        Latest,
        "propose",
        lambda self, memory, question: Proposal(np.arange(100), 1.0 / np.arange(1, 101)),
        says("latest"),
    ),
    (
        "a source is not heard",
        Blend,
        "draft",
        silenced,
        test_blend.test_every_source_brings_in_its_best_and_is_heard_on_what_others_brought,
    ),
    (
        "a source brings nothing in",
        blending,
        "union",
        but_one,
        test_blend.test_every_source_brings_in_its_best_and_is_heard_on_what_others_brought,
    ),
    (
        "what sources say is not told",
        features,
        "_by_source",
        lambda proposals, items, best: np.zeros((len(items), 3 * len(proposals)), dtype=np.float32),
        fuses,
    ),
    ("nothing is told of items", features, "_of_item", zeroed(len(OF_ITEM)), describes),
    ("nothing is told of pairs", features, "_of_pair", zeroed(len(OF_PAIR)), describes),
    (
        "nothing is told of the hour",
        features,
        "hour_affinity",
        lambda age_s: np.ones(len(age_s)),
        describes,
    ),
    (
        "nothing is told of the moment",
        features,
        "_of_moment",
        lambda question: np.zeros(2, dtype=np.float32),
        describes,
    ),
    ("the mixer ignores lessons", Mixer, "trained", unlearned, believes),
    ("the mixer climbs", Mixer, "trained", uphill, believes),
    (
        "the mixer forgets its moments",
        Mixer,
        "trained",
        from_anew,
        test_mixer.test_what_it_is_goes_out_and_in_again_and_it_learns_on_as_if_nothing_had_been,
    ),
    (
        "the experts hear nothing",
        Experts,
        "after",
        deaf,
        lambda: test_hedge.test_draws_by_the_weights_stay_within_the_bound("one_is_always_right"),
    ),
    (
        "nobody leads but the mixer",
        Mixing,
        "scores",
        lambda self, told: self.mixer.scores(told),
        lambda: test_mixing.test_the_leaders_order_comes_first_and_the_mixers_below("third"),
    ),
]


@each_of(MUTANTS)
def test_it_is_noticed(monkeypatch: pytest.MonkeyPatch, mutant: Mutant) -> None:
    assert_noticed(monkeypatch, mutant)


def test_every_source_has_a_mutant() -> None:
    checks = [row[-1] for row in MUTANTS]
    assert {check.args[0] for check in checks if isinstance(check, partial)} == set(SOURCES)


def test_without_new_shares_a_turn_is_followed_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the experts' share, which is a number and no hook."""
    monkeypatch.setattr("models.mixing.hedge.SHARE", 0.0)
    monkeypatch.setattr(test_hedge, "SHARE", 1e-3)
    with pytest.raises(AssertionError):
        test_hedge.test_when_the_best_changes_the_lead_does_long_before_the_sums_do()
