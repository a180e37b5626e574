"""Methods that hold, adapt or grow the encoder, broken on purpose: some test must notice."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from models.continual.adapters import DomainAdapters
from models.continual.domains import Domains
from models.continual.expandable import Expandable, Heard
from models.continual.fine_tuning import FineTuning
from models.continual.fisher import Fisher
from models.continual.progressive import Progressive
from models.continual.session import Session
from models.continual.sparsity import GroupLasso
from models.continual.transfer import FeatureExtraction
from models.nets import Recommender
from models.nets.adapters import Adapters
from models.nets.blocks import Blocks
from models.parameters import Layout
from tests.models import (
    test_adapters,
    test_growing,
    test_rehearsing,
)
from tests.oracles import test_adapters as test_adapting
from tests.oracles import (
    test_blocks,
    test_fine_tuning,
)
from tests.oracles.mutants import Mutant, assert_noticed, each_of


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

MUTANTS: list[Mutant] = [
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
]


@each_of(MUTANTS)
def test_it_is_noticed(monkeypatch: pytest.MonkeyPatch, mutant: Mutant) -> None:
    assert_noticed(monkeypatch, mutant)
