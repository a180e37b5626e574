"""What is not known of an item, against closed forms and slow loops."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from models.config import LearningConfig
from models.continual.fisher import Fisher, estimate_fisher
from models.continual.online_ewc import OnlineEwc
from models.continual.precision import vector_precision
from models.continual.state import LearningState
from models.interactions import Event
from models.nets import Recommender
from models.ranking.uncertainty import Uncertainty, sampled
from tests.models.tastes import event, learned
from tests.oracles.test_fisher import FixedSampler, recommender, samples

CONFIG = LearningConfig(
    embedding_dim=8, min_steps=5, epochs=1, fisher_samples=256, holdout_share=0.0, probe_share=0.0
)


def test_drawn_scores_vary_as_the_posterior_of_the_vectors_does() -> None:
    generator = np.random.default_rng(1)
    query, vector, deviation = generator.normal(size=5), generator.normal(size=5), 0.3
    slow = np.asarray(
        [query @ (vector + deviation * generator.normal(size=5)) for _ in range(40_000)]
    )
    length = float(np.linalg.norm(query))
    known = np.asarray([query @ vector] * 40_000)
    drawn = sampled(known, np.full(40_000, deviation), length, generator)
    assert drawn.mean() == pytest.approx(query @ vector, abs=0.02)
    assert drawn.std() == pytest.approx(deviation * length, rel=0.02)
    assert drawn.std() == pytest.approx(slow.std(), rel=0.02)


def test_each_item_is_drawn_within_its_own_deviation() -> None:
    generator = np.random.default_rng(2)
    deviations = np.asarray([0.0, 0.1, 1.0])
    draws = np.stack([sampled(np.zeros(3), deviations, 2.0, generator) for _ in range(20_000)])
    assert draws[:, 0].tolist() == [0.0] * 20_000
    assert draws.std(axis=0)[1:] == pytest.approx([0.2, 2.0], rel=0.02)
    assert abs(np.corrcoef(draws[:, 1], draws[:, 2])[0, 1]) < 0.03


def test_a_deviation_is_that_of_a_gaussian_posterior() -> None:
    vectors = torch.tensor([[3.0, -4.0], [0.0, 1.0], [1.0, 1.0]])
    spread = (9 + 16 + 0 + 1 + 1 + 1) / 6
    found = Uncertainty.of(vectors, torch.zeros(3), torch.tensor([0.0, 2.0, 50.0]))
    expected = [1 / math.sqrt(1 / spread + p) for p in (0.0, 2.0, 50.0)]
    assert found.by_row.tolist() == pytest.approx(expected)
    assert found.unmet == pytest.approx(math.sqrt(spread))
    assert found.of_rows(np.asarray([2, -1, 0])).tolist() == pytest.approx(
        [expected[2], math.sqrt(spread), math.sqrt(spread)]
    )


def test_where_no_importance_is_kept_events_say_how_much_is_known() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(3, 16, generator=torch.Generator()), dim=1)
    found = Uncertainty.of(vectors, torch.tensor([0.0, 3.0, 99.0], dtype=torch.float64), None)
    assert found.by_row.tolist() == pytest.approx([0.25, 0.125, 0.025])
    empty = Uncertainty.of(torch.zeros(0, 4), torch.zeros(0), None)
    assert empty.of_rows(np.asarray([-1])).tolist() == [0.0]


@pytest.mark.parametrize("strength", [1.0, 7.0])
def test_the_precision_that_is_published_is_the_fisher_of_the_learning_part(
    strength: float,
) -> None:
    config = dataclasses.replace(CONFIG, parameters={"online-ewc": {"strength": strength}})
    state = learned(LearningState.initial(config), stream())
    bundle = state.export()
    rows = bundle.tensors["serving"]["items"].double()
    fisher = bundle.tensors["learning"]["method.online-ewc.importance.items"].double()
    examples = float(state.counts.sum()) / state.updates
    published = bundle.tensors["serving"]["precision"]
    assert published.dtype == torch.float32
    for row in range(len(rows)):
        length = sum(float(value) ** 2 for value in rows[row])
        mean = sum(float(value) for value in fisher[row]) / len(fisher[row])
        assert float(published[row]) == pytest.approx(examples * strength * mean * length, rel=1e-4)


def of_scaled(net: Recommender, factor: float) -> torch.Tensor:
    net.items.rows.mul_(factor)
    fisher: Fisher = estimate_fisher(
        net,
        samples(),
        FixedSampler([1, 4, 6], [0.0, 0.1, 0.2]),
        examples=100,
        labels="empirical",
        generator=np.random.default_rng(0),
    )
    method = OnlineEwc(2.0, 0.9, {"items": torch.zeros_like(net.items.rows)})
    found = vector_precision([method.consolidate({}, fisher)], net, 10.0)
    assert found is not None
    return found


def test_how_long_a_row_is_does_not_matter_to_what_is_known_of_its_direction() -> None:
    once, thrice = (of_scaled(recommender("gru", normalize=True), by) for by in (1.0, 3.0))
    assert bool((once > 0).any())
    torch.testing.assert_close(once, thrice, rtol=1e-3, atol=1e-7)


def test_without_a_fisher_nothing_is_published() -> None:
    off = {"parameters": {"online-ewc": {"strength": 0.0}}}
    for changes in ({"methods": ("replay",)}, {"methods": ("l2",)}, off):
        config = dataclasses.replace(CONFIG, **changes)
        state = learned(LearningState.initial(config), stream())
        assert "precision" not in state.export().tensors["serving"]


def stream(rounds: int = 1) -> list[Event]:
    """Of ten items the first is met in every second event, the last ones hardly."""
    order = [0, 1, 0, 2, 0, 3, 0, 1, 0, 4, 0, 5, 0, 2, 0, 6, 0, 7, 0, 8, 0, 9]
    events = []
    for n in range(rounds):
        for user in range(20):
            for place, item in enumerate(order):
                events.append(event(f"u{n}-{user}", f"i{(item * (1 + user % 3)) % 10}", place))
    return events


def test_what_is_not_known_shrinks_with_the_events() -> None:
    def deviations(events: list[Event]) -> dict[str, float]:
        state = learned(LearningState.initial(CONFIG), events)
        serving = state.export().tensors["serving"]
        found = Uncertainty.of(state.net.item_vectors(), state.counts, serving["precision"])
        of_rows = found.of_rows(state.items.rows(state.items.ids)).tolist()
        return dict(zip(state.items.ids, of_rows, strict=True)) | {"unmet": found.unmet}

    seldom = [event("w", f"seldom-{n}", n) for n in range(3)]
    few, many = deviations(seldom + stream()), deviations(seldom + stream(4))
    often = [few[f"i{n}"] for n in range(10)]
    assert max(often) < min(few[f"seldom-{n}"] for n in range(3))
    assert all(many[f"i{n}"] < few[f"i{n}"] for n in range(10))
    assert 0 < max(few.values()) <= few["unmet"]
