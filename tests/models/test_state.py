"""States in and out."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from models.config import LearningConfig
from models.continual.state import LearningState
from models.continual.window import learn_window
from models.nets import load_serving
from models.registry import ENCODERS
from tests.models.tastes import checkerboard, event, learned

CONFIG = LearningConfig(embedding_dim=8, min_steps=3, fisher_samples=16, probe_share=0.2)


def state(**changes: object) -> LearningState:
    config = dataclasses.replace(CONFIG, **changes)  # type: ignore[arg-type]
    return learned(LearningState.initial(config), checkerboard()[:300])


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_serving_part_is_all_that_answering_needs(encoder: str) -> None:
    learner = state(encoder=encoder)
    bundle = learner.export()
    bundle.tensors.pop("learning")
    net, items, users = load_serving(bundle)
    assert list(items.ids) == list(learner.items.ids)
    assert list(users.ids) == list(learner.users.ids)
    assert torch.equal(net.encode([[1, 2]], [3]), learner.net.encode([[1, 2]], [3]))
    assert torch.equal(net.item_vectors(), learner.net.item_vectors())


def test_serving_refuses_rows_that_do_not_match_their_ids() -> None:
    bundle = state().export()
    bundle.ids["items"].pop()
    with pytest.raises(ValueError, match="item ids"):
        load_serving(bundle)


def test_an_empty_state_goes_out_and_in() -> None:
    empty = LearningState.initial(CONFIG)
    again = LearningState.restore(empty.export(), CONFIG)
    assert len(again.items) == 0
    assert learn_window(again, [event("u", "a", 0)], seed=0, draw=()).state.updates == 1


@pytest.mark.parametrize(
    "changes",
    [{"encoder": "mf"}, {"embedding_dim": 9}, {"normalize": False}, {"type_heads": ("click",)}],
)
def test_other_weights_than_configured_are_refused_by_name(changes: dict[str, object]) -> None:
    asked = dataclasses.replace(CONFIG, **changes)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=next(iter(changes))):
        LearningState.restore(state().export(), asked)


def test_a_foreign_format_is_refused() -> None:
    bundle = state().export()
    bundle.meta["format"] = 99
    with pytest.raises(ValueError, match="format"):
        LearningState.restore(bundle, CONFIG)
    with pytest.raises(ValueError, match="format"):
        LearningState.recall(bundle, CONFIG)


def test_recall_keeps_what_is_known_under_another_encoder() -> None:
    before = state()
    recalled = LearningState.recall(
        before.export(), dataclasses.replace(CONFIG, encoder="mf", embedding_dim=5)
    )
    assert list(recalled.items.ids) == list(before.items.ids)
    assert recalled.memory.probes == before.memory.probes
    assert recalled.memory.pending == before.memory.pending
    assert recalled.net.items.rows.shape == (len(before.items), 5)
    assert len(recalled.net.users) == len(before.users)


def test_a_method_the_state_does_not_know_starts_afresh() -> None:
    asked = dataclasses.replace(CONFIG, methods=("ewc", "replay"))
    restored = LearningState.restore(state().export(), asked)
    assert restored.methods["ewc"].state_dict() == {}
    learned(restored, checkerboard()[300:])


def test_shorter_histories_are_cut_on_restore() -> None:
    before = state()
    asked = dataclasses.replace(CONFIG, max_history=3)
    restored = LearningState.restore(before.export(), asked)
    assert restored.memory.histories["u0"] == before.memory.histories["u0"][-3:]
    assert restored.net.max_history == 3


def test_keys_keep_all_their_bits() -> None:
    before = state()
    after = LearningState.restore(before.export(), CONFIG)
    assert [s.key for s in after.memory.pending] == [s.key for s in before.memory.pending]
    assert max(s.key for s in before.memory.probes.samples) > 2**63


def test_what_another_state_knows_is_begun_with() -> None:
    """Its ids, rows and weights; no memory, no moments, and rows that count as learned once."""
    known = state(encoder="mf")
    begun = LearningState.transferred(known.export(), known.config)
    assert (begun.items.ids, begun.users.ids) == (known.items.ids, known.users.ids)
    for name, tensor in known.net.snapshot().items():
        assert torch.equal(begun.net.snapshot()[name], tensor)
    assert torch.equal(begun.counts, known.counts)
    assert (len(begun.memory.histories), len(begun.memory.probes), begun.updates) == (0, 0, 0)
    assert not any(part.any() for part in begun.dense_state.state_dict().values())
    for name, rows in known.row_states.items():
        assert torch.equal(begun.row_states[name].count > 0, rows.count > 0)
        assert float(begun.row_states[name].count.max()) == 1.0
    assert not any(
        part.any() for method in begun.methods.values() for part in method.state_dict().values()
    )


def test_an_encoder_with_blocks_is_nothing_to_begin_with() -> None:
    """They belong to a method that begins anew."""
    grown = state(methods=("progressive",), parameters={"progressive": {"every": 1}})
    assert grown.net.blocks
    with pytest.raises(ValueError, match="blocks: the state's encoder has some"):
        LearningState.transferred(grown.export(), grown.config)
