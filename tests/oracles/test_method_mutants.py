"""Methods that pull, teach or rehearse, broken on purpose: some test must notice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from models.continual.distillation import Distillation
from models.continual.ewc import Ewc
from models.continual.generative import GenerativeReplay
from models.continual.l2 import L2
from models.continual.method import Method
from models.continual.moments import Move, Step
from models.continual.online_ewc import OnlineEwc
from models.continual.quadratic import Quadratic
from models.continual.replay import Replay
from models.continual.reptile import Reptile
from models.continual.selection import keyed
from models.continual.soft_sharing import SoftSharing
from models.continual.synaptic import SynapticIntelligence
from models.registry import METHODS
from tests.contracts import test_methods, test_penalties
from tests.models import test_rehearsing, test_selection, test_window
from tests.oracles import (
    test_adversarial,
    test_distillation,
    test_encoder_mutants,
    test_soft_sharing,
    test_synaptic,
)
from tests.oracles.mutants import Check, Mutant, assert_noticed, each_of


def pulls_nowhere(*args: Any) -> dict[str, Quadratic]:
    return {}


def pushes_away(kind: type[Method]) -> Any:
    """The method's pulls with the sign turned."""
    pulls = kind.pulls

    def turned(self: Method, start: Any) -> dict[str, Quadratic]:
        return {
            name: Quadratic(-pull.strength, pull.importance, pull.anchor)
            for name, pull in pulls(self, start).items()
        }

    return turned


def integrates_uphill(self: SynapticIntelligence, name: str, move: Move) -> None:
    SI_MOVED(self, name, Move(move.rows, -move.gradient, move.change))


def asks_itself(self: Distillation, step: Step) -> Any:
    """The student is its own teacher."""
    return None if DISTILLED(self, step) is None else (step.queries * 0.0).sum()


def pushes_from_the_teacher(self: Distillation, step: Step) -> Any:
    term = DISTILLED(self, step)
    return None if term is None else -term


def deaf_to_heads(self: Distillation, step: Step) -> Any:
    return DISTILLED(self, replace(step, batch=replace(step.batch, heads=None)))


SI_MOVED, DISTILLED = SynapticIntelligence.moved, Distillation.loss


def holds(name: str) -> Check:
    return lambda: test_penalties.test_holds_what_it_learned_the_more_the_stronger(name, "gru")


def pulls_back(name: str) -> Check:
    return lambda: test_penalties.test_pulls_back_to_the_consolidated_weights(name)


def path_integral() -> None:
    test_synaptic.test_the_sparse_path_integral_is_that_of_the_whole_table((5, 3))


def divergence() -> None:
    test_distillation.test_it_is_the_divergence_from_the_teacher(1.0, "both", [0, 1, 2, 3])


def put_back() -> None:
    with pytest.MonkeyPatch.context() as patch:
        test_methods.test_stopped_early_it_is_as_if_it_had_been_asked_for_so_many_passes(
            "si", "gru", patch
        )


MUTANTS: list[Mutant] = [
    ("l2 pulls nowhere", L2, "pulls", pulls_nowhere, holds("l2")),
    ("l2 pushes away", L2, "pulls", pushes_away(L2), pulls_back("l2")),
    ("ewc pulls nowhere", Ewc, "pulls", pulls_nowhere, holds("ewc")),
    ("ewc pushes away", Ewc, "pulls", pushes_away(Ewc), pulls_back("ewc")),
    (
        "ewc forgets its anchors",
        Ewc,
        "consolidate",
        lambda self, learned, fisher: Ewc(self.strength, self.importance, learned),
        test_penalties.test_ewc_adds_up_terms_with_an_anchor_each,
    ),
    ("online EWC pulls nowhere", OnlineEwc, "pulls", pulls_nowhere, holds("online-ewc")),
    (
        "online EWC pushes away",
        OnlineEwc,
        "pulls",
        pushes_away(OnlineEwc),
        pulls_back("online-ewc"),
    ),
    (
        "online EWC takes no Fisher",
        OnlineEwc,
        "consolidate",
        lambda self, learned, fisher: self,
        test_penalties.test_online_ewc_forgets_by_decay_and_moves_its_anchor,
    ),
    ("SI pulls nowhere", SynapticIntelligence, "pulls", pulls_nowhere, holds("si")),
    ("SI integrates uphill", SynapticIntelligence, "moved", integrates_uphill, path_integral),
    ("SI integrates nothing", SynapticIntelligence, "moved", lambda *_: None, path_integral),
    ("SI keeps the way of passes undone", SynapticIntelligence, "working", lambda _: (), put_back),
    ("the student is the teacher", Distillation, "loss", asks_itself, divergence),
    (
        "the teacher hears no heads",
        Distillation,
        "loss",
        deaf_to_heads,
        test_distillation.test_each_target_is_distilled_through_its_own_head,
    ),
    (
        "the discriminator is fled",
        Distillation,
        "loss",
        pushes_from_the_teacher,
        test_adversarial.test_it_pulls_a_disturbed_student_back_to_its_teacher,
    ),
    ("the teacher is fled", Distillation, "loss", pushes_from_the_teacher, divergence),
    (
        "the buffer is ignored",
        Replay,
        "rehearse",
        lambda self, given: (),
        test_window.test_the_draw_is_learned,
    ),
    (
        "every rule keeps alike",
        Replay,
        "admits",
        lambda self, trained, learned: keyed("uniform", trained, learned),
        lambda: test_selection.test_every_update_keeps_as_many("period"),
    ),
    (
        "nothing is made up",
        GenerativeReplay,
        "rehearse",
        lambda self, given: (),
        test_rehearsing.test_made_up_histories_are_trained_on,
    ),
    (
        "heads share nothing",
        SoftSharing,
        "loss",
        lambda self, step: None,
        lambda: test_soft_sharing.test_it_is_half_the_squared_distances_between_heads(
            ("click", "purchase")
        ),
    ),
    (
        "new rows begin anywhere",
        Reptile,
        "newcomers",
        lambda self, table, rows: rows,
        test_rehearsing.test_new_rows_begin_where_new_rows_have_ended,
    ),
]


@each_of(MUTANTS)
def test_it_is_noticed(monkeypatch: pytest.MonkeyPatch, mutant: Mutant) -> None:
    assert_noticed(monkeypatch, mutant)


def test_every_method_has_a_mutant() -> None:
    owners = {mutant[1] for mutant in (*MUTANTS, *test_encoder_mutants.MUTANTS)}
    assert {owner.name for owner in owners if issubclass(owner, Method)} == set(METHODS)
