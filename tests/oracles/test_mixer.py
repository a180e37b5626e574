"""The mixer against what it says of itself: fusion by ranks, its loss in loops, Adam's step."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from models.mixing.blend import Blend
from models.mixing.features import names
from models.mixing.mixer import HIDDEN, Lesson, Mixer
from models.sources import PRIOR
from models.sources import SOURCES as KNOWN
from tests.models.crowds import crowd, stroll
from tests.models.lessons import SOURCES, lessons

F = len(names(SOURCES))


@pytest.mark.parametrize("size", [0, 1, 5, 40])
def test_untaught_it_is_reciprocal_rank_fusion(size: int) -> None:
    memory = crowd(3, items=300)
    blend = Blend.of(top=30)
    candidates, said = blend.draft(memory, stroll(size, size, 300))
    fused = dict.fromkeys(candidates.items.tolist(), 0.0)
    for source, proposal in said.items():
        order = sorted(zip(-proposal.scores, proposal.items, strict=True))[:30]
        for rank, (_, item) in enumerate(order, start=1):
            fused[int(item)] += PRIOR.get(source, 1.0) / rank
    found = Mixer.initial(blend.names, seed=4).scores(candidates.features)
    assert found == pytest.approx(list(fused.values()), rel=1e-5)


def loss_slowly(weights: Sequence[float], told: Sequence[Lesson]) -> float:
    """−Σ log softmax(z)[target] / targets, over z(x) = u·x + v·relu(Wx + b); mean over lessons."""
    flat = np.asarray(weights, dtype=np.float64)
    u, v = flat[:F], flat[-HIDDEN:]
    w, b = flat[F : F + HIDDEN * F].reshape(HIDDEN, F), flat[-2 * HIDDEN : -HIDDEN]
    total = 0.0
    for one in told:
        x = one.features.astype(np.float64)
        z = (x @ u + np.maximum(x @ w.T + b, 0.0) @ v).tolist()
        scale = math.log(sum(math.exp(value) for value in z))
        total -= sum(z[target] - scale for target in one.targets) / len(one.targets)
    return total / len(told)


def some() -> tuple[Mixer, list[Lesson]]:
    """Weights that are nowhere 0; lists of different lengths; one lesson of which three came."""
    random = np.random.default_rng(0)
    initial = Mixer.initial(SOURCES)
    weights = torch.from_numpy(random.normal(0.0, 0.4, len(initial.weights)).astype(np.float32))
    first, *rest = lessons(8, 4)
    told = [Lesson(first.features, np.asarray([0, 3, 7]))]
    told += [Lesson(one.features[: 5 + at], np.asarray([at])) for at, one in enumerate(rest)]
    return Mixer.load(SOURCES, initial.tensors() | {"weights": weights}), told


def test_scores_are_the_formula() -> None:
    mixer, told = some()
    for one in told:
        z = mixer.scores(one.features).astype(np.float64)
        likely = np.log(np.exp(z).sum()) - z
        for target in range(len(one.features)):
            alone = Lesson(one.features, np.asarray([target]))
            assert likely[target] == pytest.approx(
                loss_slowly(mixer.weights.tolist(), [alone]), rel=1e-4, abs=1e-5
            )


def test_the_gradient_is_that_of_the_stated_loss() -> None:
    """Read off Adam's first mean, which is a tenth of it, against finite differences."""
    mixer, told = some()
    found = mixer.trained(told, seed=0, epochs=1, batch_size=len(told)).mean / 0.1
    at = mixer.weights.double().numpy()
    places = [*range(0, F, 2), *range(F, len(at), 23)]
    for place in places:
        step = np.zeros_like(at)
        step[place] = 1e-4
        slope = (loss_slowly(at + step, told) - loss_slowly(at - step, told)) / 2e-4
        assert float(found[place]) == pytest.approx(slope, rel=2e-3, abs=2e-5)


def test_a_step_is_adams() -> None:
    """The first one moves every weight by the learning rate, against the sign of its gradient."""
    mixer, told = some()
    after = mixer.trained(told, seed=0, epochs=1, batch_size=len(told), learning_rate=0.01)
    moved, gradient = after.weights - mixer.weights, after.mean
    felt = gradient.abs() > 1e-4
    assert int(felt.sum()) > F
    torch.testing.assert_close(
        moved[felt], -0.01 * torch.sign(gradient[felt]), rtol=1e-2, atol=1e-6
    )
    assert after.steps.tolist() == [1.0]
    assert mixer.trained(told, seed=0, epochs=3, batch_size=3).steps.tolist() == [6.0]


def test_before_it_has_learned_the_hidden_layer_says_nothing() -> None:
    initial = Mixer.initial(SOURCES, seed=5)
    other = Mixer.initial(SOURCES, seed=6)
    assert not torch.equal(initial.weights, other.weights)
    (told,) = lessons(0, 1)
    assert initial.scores(told.features).tolist() == other.scores(told.features).tolist()


def test_every_source_is_worth_something_before_anything_is_learned() -> None:
    assert set(PRIOR) == set(KNOWN)
    assert min(PRIOR.values()) > 0.0
