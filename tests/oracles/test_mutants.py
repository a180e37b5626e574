"""Methods that are broken on purpose: the tests of each must notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from models.continual.adapters import DomainAdapters
from models.continual.distillation import Distillation
from models.continual.domains import Domains
from models.continual.ewc import Ewc
from models.continual.expandable import Expandable, Heard
from models.continual.fine_tuning import FineTuning
from models.continual.fisher import Fisher
from models.continual.generative import GenerativeReplay
from models.continual.l2 import L2
from models.continual.method import Method
from models.continual.moments import Move, Step
from models.continual.online_ewc import OnlineEwc
from models.continual.progressive import Progressive
from models.continual.quadratic import Quadratic
from models.continual.replay import Replay
from models.continual.reptile import Reptile
from models.continual.selection import keyed
from models.continual.session import Session
from models.continual.soft_sharing import SoftSharing
from models.continual.sparsity import GroupLasso
from models.continual.synaptic import SynapticIntelligence
from models.continual.transfer import FeatureExtraction
from models.nets import Recommender
from models.nets.adapters import Adapters
from models.nets.blocks import Blocks
from models.parameters import Layout
from models.registry import METHODS
from tests.contracts import test_methods, test_penalties
from tests.models import (
    test_adapters,
    test_growing,
    test_rehearsing,
    test_selection,
    test_window,
)
from tests.oracles import test_adapters as test_adapting
from tests.oracles import (
    test_adversarial,
    test_blocks,
    test_distillation,
    test_fine_tuning,
    test_soft_sharing,
    test_synaptic,
)

Check = Callable[[], None]


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


def costing_nothing(self: Expandable, net: Recommender) -> GroupLasso | None:
    penalty = SPARSE(self, net)
    return None if penalty is None else GroupLasso(0.0, penalty.members)


def turned_selection(self: Expandable, learned: Any, fisher: Fisher) -> Expandable:
    return CONSOLIDATED(
        self,
        learned,
        Fisher(fisher.examples, -fisher.add_to("dense", torch.zeros_like(learned["dense"]))),
    )


def by_position(self: Layout, flat: Tensor, into: Layout, fill: float | Tensor = 0.0) -> Tensor:
    """Carried as if a layout grew at its end."""
    new = torch.empty(into.size, dtype=flat.dtype).copy_(torch.as_tensor(fill))
    new[: len(flat)] = flat[: len(new)]
    return new


def without_laterals(self: Blocks, latest: Tensor, hidden: Tensor, dense: Any) -> Any:
    cut = {
        name: torch.cat([part[:, : 2 * len(hidden[0])], 0.0 * part[:, 2 * len(hidden[0]) :]], 1)
        if name.endswith("input")
        else part
        for name, part in dense.items()
    }
    return TRACED(self, latest, hidden, cut)


SPARSE, AFTER, CONSOLIDATED = Expandable.sparse, Heard.after, Expandable.consolidate
TRACED = Blocks.traced
ADAPTED, DOMAINS_GROWN = Adapters.__call__, Domains.grown
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


MUTANTS: list[tuple[str, type[Any], str, Any, Check]] = [
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
        "the encoder goes on learning",
        FeatureExtraction,
        "held",
        lambda self, net: None,
        test_rehearsing.test_the_encoder_stands_still_and_the_rows_learn,
    ),
    (
        "the encoder goes on learning beside adapters",
        DomainAdapters,
        "held",
        lambda self, net: None,
        test_adapters.test_the_encoder_stands_still_and_adapters_and_rows_learn,
    ),
    (
        "a new domain gets no adapter",
        DomainAdapters,
        "resized",
        lambda self, net, seed: net,
        test_adapters.test_a_domain_that_comes_up_gets_its_adapter_and_the_others_keep_theirs,
    ),
    (
        "an adapter takes away what it shall add",
        Adapters,
        "__call__",
        lambda self, hidden, domains, dense: 2.0 * hidden - ADAPTED(self, hidden, domains, dense),
        lambda: test_adapting.test_each_position_goes_through_the_adapter_of_its_latest_item("gru"),
    ),
    (
        "every domain has one adapter",
        Adapters,
        "__call__",
        lambda self, hidden, domains, dense: ADAPTED(
            self, hidden, torch.full_like(domains, self.domains[0]), dense
        ),
        lambda: test_adapting.test_each_position_goes_through_the_adapter_of_its_latest_item("gru"),
    ),
    (
        "no item is unlike all others",
        Domains,
        "grown",
        lambda self, vectors, most: DOMAINS_GROWN(self, vectors, 0),
        test_adapters.test_an_item_goes_to_the_nearest_centre_or_opens_a_domain,
    ),
    (
        "every layer learns",
        FineTuning,
        "held",
        lambda self, net: None,
        test_fine_tuning.test_layers_stand_still_and_learn_again_from_the_top,
    ),
    (
        "no layer thaws",
        FineTuning,
        "still",
        lambda self, layers: layers if self.updates else 0,
        test_fine_tuning.test_layers_stand_still_and_learn_again_from_the_top,
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
        "the encoder is not held",
        Progressive,
        "held",
        lambda self, net: None,
        test_growing.test_only_the_newest_block_and_the_rows_learn,
    ),
    (
        "nobody is held",
        Session,
        "_held",
        lambda self: None,
        test_growing.test_what_any_method_holds_stands_still,
    ),
    (
        "no block comes",
        Progressive,
        "resized",
        lambda self, net, seed: net,
        test_growing.test_only_the_newest_block_and_the_rows_learn,
    ),
    (
        "units cost nothing",
        Expandable,
        "sparse",
        costing_nothing,
        test_growing.test_units_that_are_needed_stay_and_others_fade,
    ),
    (
        "no loss is heard",
        Expandable,
        "heard",
        lambda self, loss: self,
        test_growing.test_a_change_of_tastes_grows_units_and_a_steady_stream_does_not,
    ),
    (
        "easy windows grow units",
        Heard,
        "after",
        lambda self, loss, decay: AFTER(self, -loss, decay),
        lambda: test_growing.test_units_come_when_a_loss_lies_above_the_level_of_the_last(
            [9.0, 2.0, 2.11], True
        ),
    ),
    (
        "what is pulled on least is retrained",
        Expandable,
        "consolidate",
        turned_selection,
        test_growing.test_of_the_encoder_what_the_last_window_pulled_on_learns,
    ),
    (
        "what is kept stays where it lay",
        Layout,
        "carried",
        by_position,
        test_growing.test_what_is_remembered_follows_the_layout,
    ),
    (
        "new units speak at once",
        Blocks,
        "initial",
        lambda self, dim, seed: torch.ones(self.layout(dim).size),
        lambda: test_blocks.test_growth_changes_no_score_to_the_bit("gru"),
    ),
    (
        "blocks know nothing of each other",
        Blocks,
        "traced",
        without_laterals,
        test_blocks.test_a_block_reads_the_item_the_encoder_and_the_older_blocks,
    ),
    (
        "new rows begin anywhere",
        Reptile,
        "newcomers",
        lambda self, table, rows: rows,
        test_rehearsing.test_new_rows_begin_where_new_rows_have_ended,
    ),
]


@pytest.mark.parametrize(
    ("kind", "hook", "broken", "check"),
    [row[1:] for row in MUTANTS],
    ids=[row[0] for row in MUTANTS],
)
def test_it_is_noticed(
    monkeypatch: pytest.MonkeyPatch, kind: type[Any], hook: str, broken: Any, check: Check
) -> None:
    monkeypatch.setattr(kind, hook, broken)
    with pytest.raises(AssertionError):
        check()


def test_every_method_has_a_mutant() -> None:
    broken = {row[1].name for row in MUTANTS if issubclass(row[1], Method)}
    assert broken == set(METHODS)
