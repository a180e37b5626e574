"""Test-then-train."""

from __future__ import annotations

import dataclasses

import pytest

from models.config import LearningConfig
from models.continual.prequential import prequential
from models.continual.scoring import score
from models.continual.state import LearningState
from models.registry import ENCODERS
from tests.models.tastes import checkerboard, event, learned

CONFIG = LearningConfig(embedding_dim=16, fisher_samples=16, top_k=10, probe_share=0.0)


def test_a_model_that_knows_the_tastes_beats_popularity() -> None:
    state = learned(LearningState.initial(CONFIG), checkerboard())
    found = prequential(state, checkerboard(first=480))
    assert found["n"] == 480
    assert found["recall@10"] > 0.5 > 2 * found["popularity"]["recall@10"]
    assert found["mrr@10"] <= found["ndcg@10"] <= found["recall@10"]


def test_unknown_items_are_misses_and_no_signal_is_no_query() -> None:
    state = learned(LearningState.initial(CONFIG), checkerboard())
    events = [event("u0", "unheard", 999), event("u0", "A1", 1_000, weight=0.0)]
    found = prequential(state, events)
    assert (found["n"], found["recall@10"]) == (1, 0.0)
    assert found["popularity"]["recall@10"] == 0.0


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_model_that_knows_nothing_misses_everything(encoder: str) -> None:
    empty = LearningState.initial(dataclasses.replace(CONFIG, encoder=encoder))
    assert prequential(empty, checkerboard())["recall@10"] == 0.0
    assert prequential(empty, [])["n"] == 0


def test_ranks_stand_in_the_order_of_samples_and_targets() -> None:
    """Scoring by buckets of like length gives what scoring one by one gives."""
    state = learned(LearningState.initial(CONFIG), checkerboard())
    samples = state.memory.histories.samples(
        [event("u1", "B3", 1), event("new", "A1", 2), event("u1", "B4", 3), event("u2", "zz", 4)]
    )
    together = score(state, samples)
    apart = [rank for sample in samples for rank in score(state, [sample]).ranks.tolist()]
    assert together.ranks.tolist() == apart
    assert together.owners.tolist() == [0, 0, 1, 2]
