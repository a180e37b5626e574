"""Soft sharing, and distillation through heads, against their definitions."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.batches import NO_HEAD, SequenceBatch
from models.config import LearningConfig
from models.continual.distillation import Distillation
from models.continual.fisher import Fisher
from models.continual.moments import Start, Step
from models.continual.soft_sharing import SoftSharing
from models.nets import Recommender
from models.nets.heads import WEIGHT

ITEMS, DIM = 6, 3
TYPES = ("buy", "click", "like")


def recommender(seed: int, types: tuple[str, ...] = TYPES) -> Recommender:
    """One whose heads have learned something."""
    config = LearningConfig(embedding_dim=DIM, seed=seed, temperature=3.0, type_heads=types)
    net = Recommender.initial(config).grown(ITEMS, 0)
    generator = torch.Generator().manual_seed(seed)
    if types:
        net.layout.views(net.dense)[WEIGHT].normal_(generator=generator)
    return net


def step(teacher: Recommender, student: Recommender, heads: bool = True) -> Step:
    """Two sequences of two targets: through each head once, and once through none."""
    batch = SequenceBatch(
        user_idx=torch.tensor([-1, -1]),
        inputs=torch.tensor([[-1, 0, 4], [-1, 3, 2]]),
        targets=torch.tensor([[-1, 4, 5], [-1, 0, 1]]),
        weights=torch.tensor([[0.0, 1.0, 2.0], [0.0, 1.0, 0.5]]),
        heads=torch.tensor([[-1, 1, 0], [-1, NO_HEAD, 2]]) if heads else None,
    )
    wanted = batch.targets >= 0
    return Step(
        batch=batch,
        replayed=torch.tensor([True, True]),
        owners=torch.tensor([0, 0, 1, 1]),
        wanted=wanted,
        rows=torch.arange(ITEMS),
        queries=student.queries(batch)[wanted].requires_grad_(),
        vectors=student.item_vectors().requires_grad_(),
        targets=batch.targets[wanted],
        candidates=torch.arange(ITEMS),
        shift=torch.zeros(ITEMS),
        weights=batch.weights[wanted],
        dense={
            name: part.clone().requires_grad_()
            for name, part in student.layout.views(student.dense).items()
        },
        teacher=teacher,
    )


def sharing(strength: float = 0.7, updates: int = 1) -> SoftSharing:
    parameters = {"soft-sharing": {"strength": strength}}
    method = SoftSharing.initial(
        LearningConfig(methods=("soft-sharing",), parameters=parameters, type_heads=TYPES)
    )
    for _ in range(updates):
        method = method.consolidate({}, Fisher())
    return method


@pytest.mark.parametrize("types", [TYPES, TYPES[:2]])
def test_it_is_half_the_squared_distances_between_heads(types: tuple[str, ...]) -> None:
    """Value and gradient, λ Σ_b (W_a − W_b), and none for anything else."""
    net = recommender(1, types)
    given = step(net, net, heads=False)
    term = sharing().loss(given)
    assert term is not None
    heads = given.dense[WEIGHT].detach().double()
    value, gradient = 0.0, torch.zeros_like(heads)
    for a in range(len(types)):
        for b in range(len(types)):
            apart = heads[a] - heads[b]
            value += 0.5 * 0.7 * float(apart.square().sum()) / 2.0
            gradient[a] += 0.7 * apart
    assert float(term.detach()) == pytest.approx(value, rel=1e-5)
    found = torch.autograd.grad(term, list(given.dense.values()), materialize_grads=True)
    for name, part in zip(given.dense, found, strict=True):
        expected = gradient if name == WEIGHT else torch.zeros_like(part).double()
        torch.testing.assert_close(part.double(), expected, rtol=1e-4, atol=1e-6)


def test_heads_that_agree_feel_nothing() -> None:
    net = recommender(1)
    net.layout.views(net.dense)[WEIGHT][:] = torch.ones(DIM, DIM)
    term = sharing().loss(step(net, net))
    assert term is not None
    assert float(term.detach()) == 0.0


@pytest.mark.parametrize(
    ("types", "changes"),
    [(TYPES, {"strength": 0.0}), (TYPES, {"updates": 0}), (TYPES[:1], {}), ((), {})],
)
def test_there_is_no_term_without_strength_a_past_or_two_heads(
    types: tuple[str, ...], changes: dict[str, Any]
) -> None:
    net = recommender(1, types)
    assert sharing(**changes).loss(step(net, net, heads=False)) is None


def through_heads(net: Recommender, given: Step) -> Tensor:
    """Queries [T, D] from the encoder's own output by h + W h, target by target."""
    batch, dense = given.batch, net.layout.views(net.dense)
    hidden = net.encoder.queries(net.gather(batch.inputs, batch.user_idx), dense, None)
    assert batch.heads is not None
    lines = []
    for h, head in zip(hidden[given.wanted], batch.heads[given.wanted], strict=True):
        lines.append(h if head == NO_HEAD else h + dense[WEIGHT][head] @ h)
    return F.normalize(torch.stack(lines), dim=1) * dense["log_temperature"].exp()


def distilled(given: Step) -> float:
    config = LearningConfig(
        methods=("distillation",),
        parameters={"distillation": {"on": "both", "adaptive": False}},
    )
    start = Start({"items": torch.zeros(ITEMS, DIM)}, {"items": ITEMS})
    term = Distillation.initial(config).begun(start).loss(given)
    assert term is not None
    return float(term.detach())


def test_each_target_is_distilled_through_its_own_head() -> None:
    """Of teacher and student alike."""
    teacher, student = recommender(1), recommender(2)
    given = step(teacher, student)
    logs = [
        (through_heads(net, given) @ net.item_vectors().T).log_softmax(1)
        for net in (teacher, student)
    ]
    each = (logs[0].exp() * (logs[0] - logs[1])).sum(1)
    expected = float((each * given.weights).sum() / given.weights.sum())
    assert distilled(given) == pytest.approx(expected, rel=1e-4)
    unheaded = dataclasses.replace(given, batch=dataclasses.replace(given.batch, heads=None))
    assert distilled(unheaded) != pytest.approx(expected, rel=1e-2)


def test_a_teacher_whose_heads_are_the_students_teaches_nothing() -> None:
    same = recommender(3)
    assert distilled(step(same, same)) == pytest.approx(0.0, abs=1e-6)
