"""The causal Transformer: order, causality, distance and what it was built with."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from models.batches import SequenceBatch
from models.config import LearningConfig
from models.continual.state import LearningState
from models.continual.window import learn_window
from models.interactions import Event
from models.nets import Recommender
from tests.models.tastes import checkerboard, event, learned

CONFIG = LearningConfig(
    encoder="sasrec", embedding_dim=16, dropout=0.0, lookahead=0.0, probe_share=0.0, methods=()
)


def net(**changes: int) -> Recommender:
    """Initialised and shaken, so that nothing is zero."""
    config = dataclasses.replace(CONFIG, **changes)  # type: ignore[arg-type]
    found = Recommender.initial(config).grown(20, 0)
    found.dense += 0.3 * torch.randn(len(found.dense), generator=torch.Generator().manual_seed(1))
    return found


def queries(found: Recommender, inputs: torch.Tensor) -> torch.Tensor:
    nothing = torch.empty(0)
    unknown = torch.full((len(inputs),), -1)
    return found.queries(SequenceBatch(unknown, inputs, nothing, nothing))


def test_later_inputs_change_no_earlier_query() -> None:
    found = net(layers=3, heads=4)
    inputs = torch.from_numpy(np.random.default_rng(0).integers(0, 20, (6, 12)))
    inputs[:, 0] = -1
    before = queries(found, inputs)
    for place in range(1, 12):
        changed = inputs.clone()
        changed[:, place:] = (changed[:, place:] + 1) % 20
        after = queries(found, changed)
        torch.testing.assert_close(after[:, :place], before[:, :place], rtol=0, atol=1e-6)
        assert float((after[:, place] - before[:, place]).abs().max()) > 1e-3


def test_an_order_is_told_from_another() -> None:
    """Same items, same last one: without the distances the queries would be equal."""
    found = net(layers=1)
    found.layout.views(found.dense)["distance"].zero_()
    pair = torch.tensor([[-1, 3, 4, 5], [-1, 4, 3, 5]])
    same = queries(found, pair)[:, -1]
    torch.testing.assert_close(same[0], same[1])
    found = net(layers=1)
    told = queries(found, pair)[:, -1]
    assert float((told[0] - told[1]).abs().max()) > 1e-2


def test_only_distances_count() -> None:
    """Without START in sight a stretch means the same wherever in the window it stands."""
    found = net(layers=1)
    found.layout.views(found.dense)["distance"][:, :, 3:] = -1e9
    early = queries(found, torch.tensor([[-1, 7, 3, 4, 5]]))[0, -1]
    late = queries(found, torch.tensor([[-1, 9, 2, 8, 8, 1, 3, 4, 5]]))[0, -1]
    torch.testing.assert_close(early, late)


def test_histories_longer_than_the_distances_are_answered() -> None:
    found = net(max_history=150)
    assert bool(torch.isfinite(found.encode([list(range(20)) * 7])).all())
    far = queries(found, torch.tensor([[-1, 1, *[2] * 100], [-1, 3, *[2] * 100]]))[:, -1]
    assert not torch.equal(far[0], far[1])


def test_serving_asks_what_training_taught() -> None:
    found = net()
    items = [4, 9, 2, 2, 7]
    trained = queries(found, torch.tensor([[-1, *items, -1, -1]]))
    torch.testing.assert_close(found.encode([items])[0], trained[0, len(items)])


def cycle(users: int = 60, steps: int = 8) -> list[tuple[str, list[str]]]:
    """What follows is the *first* of the last two items plus one: the last alone tells nothing."""
    random = np.random.default_rng(5)
    found = []
    for user in range(users):
        items = random.integers(0, 12, 2).tolist()
        while len(items) < steps:
            items.append((items[-2] + 1) % 12)
        found.append((f"u{user}", [f"i{item}" for item in items]))
    return found


def test_learns_a_sequence_that_needs_order() -> None:
    events: list[Event] = []
    for user, items in cycle():
        events += [event(user, item, len(events) + n) for n, item in enumerate(items)]
    config = dataclasses.replace(CONFIG, min_steps=400, holdout_share=0.0, learning_rate=0.01)
    state = learn_window(LearningState.initial(config), events, seed=0, draw=()).state
    hits = total = 0
    for first in range(12):
        for second in range(12):
            rows = state.items.rows([f"i{first}", f"i{second}", f"i{(first + 1) % 12}"]).tolist()
            best = (state.net.encode([rows]) @ state.net.item_vectors().T).argmax()
            hits += state.items.id(int(best)) == f"i{(second + 1) % 12}"
            total += 1
    assert hits / total >= 0.9


def test_every_weight_is_learned() -> None:
    """No part of the layout is left out of the queries, and none cancels in them."""
    state = learned(LearningState.initial(CONFIG), checkerboard()[:200])
    found = state.net
    given = found.gather(torch.tensor([[-1, 1, 2, 3, 2, 5, 0, 4]]), torch.tensor([-1]))
    dense = {
        name: part.double().requires_grad_()
        for name, part in found.encoder.layout(16).views(found.dense[:-1]).items()
    }
    given = dataclasses.replace(given, items=given.items.double())
    queries = found.encoder.queries(given, dense, None)
    to_queries = torch.randn(queries.shape, generator=torch.Generator().manual_seed(2)).double()
    gradients = torch.autograd.grad(queries, list(dense.values()), to_queries)
    for name, gradient in zip(dense, gradients, strict=True):
        reached = gradient[..., :8] if name == "distance" else gradient
        assert float((reached.abs() > 1e-9).double().mean()) > 0.8, name


@pytest.mark.parametrize("changes", [{"layers": 3}, {"heads": 4}])
def test_a_state_goes_on_with_what_it_was_built_with_alone(changes: dict[str, int]) -> None:
    state = LearningState.initial(CONFIG)
    bundle = state.export()
    name = next(iter(changes))
    assert bundle.meta["net"][name] == 2
    assert LearningState.restore(bundle, CONFIG).net.encoder.settings == {"layers": 2, "heads": 2}
    with pytest.raises(ValueError, match=f"{name}: the state has 2"):
        LearningState.restore(bundle, dataclasses.replace(CONFIG, **changes))  # type: ignore[arg-type]


def test_a_state_of_another_encoder_does_not_mind() -> None:
    config = dataclasses.replace(CONFIG, encoder="gru")
    bundle = LearningState.initial(config).export()
    assert "layers" not in bundle.meta["net"]
    LearningState.restore(bundle, dataclasses.replace(config, layers=5, heads=7))


def test_heads_that_do_not_divide_the_dimension_are_refused() -> None:
    with pytest.raises(ValueError, match="heads: must divide embedding_dim 16, got 3"):
        dataclasses.replace(CONFIG, heads=3)
