"""Generalised binary cross entropy against its closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.batches import SampleSet
from models.config import LearningConfig
from models.continual.session import Session
from models.continual.state import LearningState
from models.interactions import Histories
from models.objectives import NegativeSampler, gbce_loss, gbce_power
from tests.models.tastes import checkerboard, learned


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def problem() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Odd shapes; the second and third target are among the candidates."""
    random = torch.Generator().manual_seed(3)
    queries = torch.randn(5, 3, generator=random, dtype=torch.float64).requires_grad_()
    vectors = torch.randn(9, 3, generator=random, dtype=torch.float64).requires_grad_()
    weights = torch.rand(5, generator=random, dtype=torch.float64) + 0.1
    return queries, vectors, torch.tensor([0, 4, 4, 8, 3]), torch.tensor([1, 2, 4, 7]), weights


def test_two_scores_by_hand() -> None:
    """One target scored 2, one negative scored −1, β = ½."""
    loss = gbce_loss(
        torch.tensor([[1.0]]),
        torch.tensor([[2.0], [-1.0]]),
        torch.tensor([0]),
        torch.tensor([1]),
        torch.ones(1),
        power=0.5,
    )
    assert float(loss) == pytest.approx(-0.5 * math.log(sigmoid(2.0)) - math.log(sigmoid(1.0)))


def test_power_one_is_plain_binary_cross_entropy_without_accidental_hits() -> None:
    queries, vectors, targets, candidates, weights = problem()
    lines = []
    for query, target in zip(queries, targets.tolist(), strict=True):
        places = [target, *(place for place in candidates.tolist() if place != target)]
        labels = torch.tensor([1.0] + [0.0] * (len(places) - 1)).double()
        scores = vectors[places] @ query
        lines.append(F.binary_cross_entropy_with_logits(scores, labels, reduction="sum"))
    expected = (torch.stack(lines) * weights).sum() / weights.sum()
    loss = gbce_loss(queries, vectors, targets, candidates, weights)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        torch.autograd.grad(loss, [queries, vectors]),
        torch.autograd.grad(expected, [queries, vectors]),
    )


def test_gradients_are_those_of_finite_differences() -> None:
    queries, vectors, targets, candidates, weights = problem()
    assert torch.autograd.gradcheck(
        lambda q, v: gbce_loss(q, v, targets, candidates, weights, power=0.3, offset=0.7),
        (queries, vectors),
    )


@pytest.mark.parametrize(("calibration", "power"), [(0.0, 1.0), (1.0, 0.25), (0.5, 0.625)])
def test_power_goes_from_plain_to_the_share_of_items_drawn(
    calibration: float, power: float
) -> None:
    assert gbce_power(25, 101, calibration) == pytest.approx(power)
    assert gbce_power(101, 101, calibration) == 1.0


@pytest.mark.parametrize("calibration", [0.0, 1.0])
def test_calibration_is_what_makes_scores_chances(calibration: float) -> None:
    """The optimum on draws: σ is the chance of the item for t = 1, and far above it for t = 0."""
    chances = torch.tensor([0.4, 0.3, 0.2, 0.06, 0.04])
    items, share = len(chances), 0.25
    scores = torch.zeros(items, requires_grad=True)
    power = gbce_power(1, items, calibration)
    optimizer = torch.optim.LBFGS([scores], max_iter=200, line_search_fn="strong_wolfe")

    def expected_loss() -> Tensor:
        """Each other item stands against the target with probability 1/(N−1) = ¼."""
        optimizer.zero_grad()
        total = torch.zeros(())
        for target, chance in enumerate(chances):
            for other in range(items):
                if other != target:
                    total = total + share * chance * gbce_loss(
                        torch.ones(1, 1),
                        scores[:, None],
                        torch.tensor([target]),
                        torch.tensor([other]),
                        torch.ones(1),
                        power=power,
                    )
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(expected_loss)  # type: ignore[no-untyped-call]
    odds = power / share * chances / (1.0 - chances)
    torch.testing.assert_close(scores.detach().exp(), odds, rtol=1e-3, atol=1e-4)
    if calibration == 1.0:
        torch.testing.assert_close(scores.detach().sigmoid(), chances, rtol=1e-3, atol=1e-4)


def test_an_offset_is_taken_off_every_score() -> None:
    queries, vectors, targets, candidates, weights = problem()
    column = torch.ones(5, 1).double()
    lowered = torch.cat([vectors, -0.7 * torch.ones(9, 1).double()], 1)
    torch.testing.assert_close(
        gbce_loss(queries, vectors, targets, candidates, weights, power=0.4, offset=0.7),
        gbce_loss(
            torch.cat([queries, column], 1), lowered, targets, candidates, weights, power=0.4
        ),
    )


def test_uniform_draws_do_not_look_at_counts() -> None:
    counts = np.asarray([10_000.0] + [1.0] * 99)
    sampler, random = NegativeSampler(counts, 20, uniform=True), np.random.default_rng(0)
    times = np.zeros(100)
    for _ in range(2_000):
        drawn = sampler.draw(random)
        times[drawn.rows.numpy()] += 1
    assert times.std() < 4 * (2_000 * 0.18 * 0.82) ** 0.5 / 2
    assert times[0] < times.mean() * 1.3


@pytest.mark.parametrize("calibration", [0.0, 0.5, 1.0])
def test_a_step_takes_the_loss_that_is_configured(calibration: float) -> None:
    """Where all scores are 0: −β log σ(−log 10) − Σ log σ(log 10), the target not in the sum."""
    config = LearningConfig(
        loss="gbce",
        calibration=calibration,
        embedding_dim=8,
        normalize=False,
        lookahead=0.0,
        num_negatives=10,
        methods=(),
    )
    state = learned(LearningState.initial(config), checkerboard()[:200])
    made = Histories(config.max_history).samples(checkerboard()[:200])
    samples = SampleSet.of(made, state.items.rows, state.users.rows)
    batch = next(samples.batches(len(samples)))
    session = Session(state, seed=1, device="cpu")
    session.net.items.rows.zero_()
    drawn = session.sampler.draw(np.random.default_rng([1, 1])).rows
    targets = batch.targets[batch.targets >= 0]
    others = len(drawn) - float(torch.isin(targets, drawn).float().mean())
    power = 1.0 - calibration * (1.0 - len(drawn) / (len(state.items) - 1))
    expected = power * math.log1p(10.0) + others * math.log1p(0.1)
    assert float(session.train(batch)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("encoder", ["gru", "sasrec"])
@pytest.mark.parametrize("normalize", [True, False])
def test_what_comes_next_is_learned_by_it(encoder: str, normalize: bool) -> None:
    config = LearningConfig(encoder=encoder, loss="gbce", normalize=normalize, num_negatives=20)
    state = learned(LearningState.initial(config), checkerboard())
    hits = 0
    for user in state.memory.histories.users():
        *past, last = state.items.rows(state.memory.histories[user]).tolist()
        best = (state.net.encode([past]) @ state.net.item_vectors().T)[0].topk(3).indices
        hits += last in best.tolist()
    assert hits / len(state.memory.histories) >= 0.8


def test_a_loss_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="allowed are softmax, gbce"):
        LearningConfig(loss="hinge")
    with pytest.raises(ValueError, match="calibration"):
        LearningConfig(calibration=1.5)
