"""Distillation against a reference by loops in float64."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from models.batches import SequenceBatch
from models.config import LearningConfig
from models.continual.distillation import Distillation
from models.continual.moments import Lesson, Start, Step
from models.nets import Recommender
from models.nets.heads import WEIGHT

ITEMS, KNOWN, DIM = 9, 7, 4
EVEN = Lesson(2, 2)


def recommender(seed: int) -> Recommender:
    config = LearningConfig(embedding_dim=DIM, encoder="gru", seed=seed, temperature=3.0)
    return Recommender.initial(config).grown(ITEMS, 0)


def step(teacher: Recommender, student: Recommender, replayed: tuple[bool, bool]) -> Step:
    """Two sequences of two targets; every item is a candidate, in an order of its own."""
    batch = SequenceBatch(
        user_idx=torch.tensor([-1, -1]),
        inputs=torch.tensor([[-1, 0, 8], [-1, 3, 2]]),
        targets=torch.tensor([[-1, 4, 5], [-1, 6, 1]]),
        weights=torch.tensor([[0.0, 1.0, 2.0], [0.0, 1.0, 0.5]]),
    )
    wanted = batch.targets >= 0
    return Step(
        batch=batch,
        replayed=torch.tensor(replayed),
        owners=torch.tensor([0, 0, 1, 1]),
        wanted=wanted,
        rows=torch.arange(ITEMS),
        queries=student.queries(batch)[wanted].requires_grad_(),
        vectors=student.item_vectors().requires_grad_(),
        targets=batch.targets[wanted],
        candidates=torch.tensor([8, 2, 0, 5, 7, 1]),
        shift=torch.tensor([0.1, -0.2, 0.3, 0.0, 0.5, -0.1]),
        weights=batch.weights[wanted],
        dense=student.layout.views(student.dense),
        teacher=teacher,
    )


def method(lesson: Lesson = EVEN, **parameters: Any) -> Distillation:
    config = LearningConfig(methods=("distillation",), parameters={"distillation": parameters})
    start = Start({"items": torch.zeros(ITEMS, DIM)}, {"items": KNOWN}, lesson=lesson)
    return Distillation.initial(config).begun(start)


def by_hand(given: Step, temperature: float, chosen: list[int]) -> float:
    """Σ w KL(p ‖ q) / Σ w over the targets chosen, among candidates that the teacher knows."""
    known = [n for n, row in enumerate(given.candidates.tolist()) if row < KNOWN]
    inputs = given.batch.inputs.clone()
    inputs[inputs >= KNOWN] = -1
    blind = SequenceBatch(given.batch.user_idx, inputs, given.batch.targets, given.batch.weights)
    asked = given.teacher.queries(blind)[given.wanted].double()
    total = weight = 0.0
    for target in chosen:
        p, q = (
            softmax(
                [
                    (
                        float(query[target].double() @ vectors[given.candidates[n]].double())
                        - float(given.shift[n])
                    )
                    / temperature
                    for n in known
                ]
            )
            for query, vectors in (
                (asked, given.teacher.item_vectors()),
                (given.queries.detach(), given.vectors.detach()),
            )
        )
        divergence = sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True))
        total += float(given.weights[target]) * divergence
        weight += float(given.weights[target])
    return total / weight * temperature**2


def softmax(scores: list[float]) -> list[float]:
    parts = [math.exp(score - max(scores)) for score in scores]
    return [part / sum(parts) for part in parts]


def found(given: Step, lesson: Lesson = EVEN, **parameters: Any) -> Tensor:
    term = method(lesson, **parameters).loss(given)
    assert term is not None
    return term


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize(
    ("on", "chosen"), [("both", [0, 1, 2, 3]), ("replayed", [2, 3]), ("new", [0, 1])]
)
def test_it_is_the_divergence_from_the_teacher(
    temperature: float, on: str, chosen: list[int]
) -> None:
    given = step(recommender(1), recommender(2), (False, True))
    term = found(given, temperature=temperature, on=on, strength=0.7, adaptive=False)
    expected = 0.7 * by_hand(given, temperature, chosen)
    assert float(term.detach()) == pytest.approx(expected, rel=1e-5)
    assert expected > 1e-3


def test_a_teacher_that_is_the_student_teaches_nothing() -> None:
    """Where every input is known to both; value and gradient vanish."""
    same = recommender(3)
    given = step(same, same, (True, True))
    given.batch.inputs[0, 2] = 1
    given = Step(
        **{name: getattr(given, name) for name in Step.__slots__}
        | {"queries": same.queries(given.batch)[given.wanted].requires_grad_()}
    )
    term = found(given, on="both", adaptive=False)
    gradients = torch.autograd.grad(term, [given.queries, given.vectors])
    assert float(term.detach()) == pytest.approx(0.0, abs=1e-6)
    assert all(float(part.abs().max()) < 1e-5 for part in gradients)


def test_the_gradient_pulls_towards_the_teacher() -> None:
    """∂/∂score = w T (q − p): steps against it bring the student to the teacher's distribution."""
    given = step(recommender(1), recommender(2), (True, True))
    queries = given.queries.detach().clone()
    values = []
    for _ in range(200):
        leaf = queries.clone().requires_grad_()
        moved = Step(**{name: getattr(given, name) for name in Step.__slots__} | {"queries": leaf})
        term = found(moved, on="both", adaptive=False)
        values.append(float(term.detach()))
        queries -= torch.autograd.grad(term, leaf)[0]
    assert values[-1] < 0.2 * values[0]


def test_the_adaptive_weight_is_that_of_ader() -> None:
    """√(old items / all items · replayed / new targets of the update), whatever a step has."""
    given = step(recommender(1), recommender(2), (False, True))
    fixed = found(given, adaptive=False)
    adapted = found(given, adaptive=True)
    assert float((adapted / fixed).detach()) == pytest.approx(math.sqrt(KNOWN / ITEMS * 2 / 2))
    share = KNOWN / ITEMS
    for replayed in ((False, True), (True, True)):
        given = step(recommender(1), recommender(2), replayed)
        for on, lesson, expected in (
            ("replayed", Lesson(30, 6), share * 6 / 30),
            ("replayed", Lesson(0, 6), share),
            ("both", Lesson(30, 6), share),
        ):
            adapted, fixed = (found(given, lesson, on=on, adaptive=a) for a in (True, False))
            assert float((adapted / fixed).detach()) == pytest.approx(math.sqrt(expected))


@pytest.mark.parametrize("parameters", [{"strength": 0.0}, {"on": "replayed"}])
def test_without_strength_or_samples_there_is_no_term(parameters: dict[str, Any]) -> None:
    given = step(recommender(1), recommender(2), (False, False))
    assert method(**parameters).loss(given) is None


def test_nobody_is_asked_before_the_first_update() -> None:
    given = step(recommender(1), recommender(2), (True, True))
    start = Start({"items": torch.zeros(ITEMS, DIM)}, {"items": 0})
    config = LearningConfig(methods=("distillation",))
    assert Distillation.initial(config).begun(start).loss(given) is None


def heads_by_hand(given: Step, net: Recommender, blind: SequenceBatch) -> Tensor:
    """Queries [T, D] of a recommender, each through its own type's W, in float64."""
    hidden = net.encoder.queries(
        net.gather(blind.inputs, blind.user_idx), net.layout.views(net.dense), None
    )[given.wanted].double()
    views, numbers = net.layout.views(net.dense), given.batch.heads
    assert numbers is not None
    lines = []
    for line, number in zip(hidden, numbers[given.wanted].tolist(), strict=True):
        through = line if number < 0 else line + views[WEIGHT][number].double() @ line
        lines.append(through / through.norm() * math.exp(float(views["log_temperature"])))
    return torch.stack(lines)


def test_each_target_is_distilled_through_its_own_head() -> None:
    """Both by hand, through each target's W; with heads ignored it comes out otherwise."""
    config = LearningConfig(
        embedding_dim=DIM, temperature=3.0, type_heads=("click", "purchase"), encoder="gru"
    )
    pair = []
    for seed in (5, 6):
        net = Recommender.initial(replace(config, seed=seed)).grown(ITEMS, 0)
        heads = net.layout.views(net.dense)[WEIGHT]
        heads += torch.randn(heads.shape, generator=torch.Generator().manual_seed(seed))
        pair.append(net)
    teacher, student = pair
    bare = step(teacher, student, (True, True))
    numbers = torch.tensor([[-1, 0, 1], [-1, 1, -1]])
    batch = replace(bare.batch, heads=numbers)
    given = replace(bare, batch=batch, queries=student.queries(batch)[bare.wanted])
    blind = replace(batch, inputs=batch.inputs.where(batch.inputs < KNOWN, -1))
    own = heads_by_hand(given, teacher, blind)
    term = float(found(given, on="both", adaptive=False).detach())
    known = given.candidates < KNOWN
    scores = [
        queries @ net.item_vectors()[given.candidates[known]].double().T - given.shift[known]
        for queries, net in ((own, teacher), (heads_by_hand(given, student, batch), student))
    ]
    p, q = (part.log_softmax(1) for part in scores)
    expected = ((p.exp() * (p - q)).sum(1) * given.weights).sum() / given.weights.sum()
    assert term == pytest.approx(float(expected), rel=1e-4)
    deaf = replace(given, batch=replace(batch, heads=None))
    assert abs(float(found(deaf, on="both", adaptive=False).detach()) - term) > 0.05 * term
