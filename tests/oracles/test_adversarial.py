"""Adversarial distillation: its losses by slow loops, what it does at chance, where it pulls."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from models.batches import SequenceBatch
from models.continual.adversary import Adversary
from models.continual.distillation import Distillation
from models.continual.moments import Step
from models.nets import Recommender
from tests.oracles.test_distillation import ITEMS, method, recommender, step

DIM = 6


def cloud(count: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(count, DIM, generator=torch.Generator().manual_seed(seed)) + shift


def trained(steps: int = 60, shift: float = 0.5) -> Adversary:
    adversary = Adversary(DIM, 3)
    for n in range(steps):
        adversary.learn(cloud(50, n), cloud(50, 1_000 + n, shift), torch.ones(50))
    return adversary


def odds_by_hand(adversary: Adversary, values: Tensor, query: Tensor) -> float:
    part = {name: p.double().tolist() for name, p in adversary.layout.views(values).items()}
    total = part["shift"][0]
    for row, bias, out in zip(part["weight"], part["bias"], part["out"], strict=True):
        total += out * max(0.0, bias + sum(w * float(x) for w, x in zip(row, query, strict=True)))
    return float(total)


def told_by_hand(
    adversary: Adversary, values: Tensor, teacher: Tensor, student: Tensor, weights: Tensor
) -> float:
    """−Σ w (log σ(f(t)) + log(1 − σ(f(s)))) / Σ w."""
    total = 0.0
    for own, other, weight in zip(teacher, student, weights.tolist(), strict=True):
        p, q = (
            1.0 / (1.0 + math.exp(-odds_by_hand(adversary, values, one))) for one in (own, other)
        )
        total -= weight * (math.log(p) + math.log(1.0 - q))
    return total / float(weights.sum())


def test_the_students_loss_is_that_of_slow_loops() -> None:
    adversary, student = trained(), cloud(5, 7)
    weights = torch.tensor([1.0, 2.0, 0.5, 0.0, 3.0])
    expected = 0.0
    for query, weight in zip(student, weights.tolist(), strict=True):
        f = odds_by_hand(adversary, adversary.values, query)
        expected -= weight * math.log(1.0 / (1.0 + math.exp(-f))) / float(weights.sum())
    assert float(adversary.term(student, weights)) == pytest.approx(expected, rel=1e-5)


def test_the_discriminator_steps_along_its_own_loss() -> None:
    """Adam's moments after its first step are (1 − β) g; g by central differences of slow loops."""
    adversary, teacher, student = trained(), cloud(4, 7), cloud(4, 8)
    weights = torch.tensor([1.0, 2.0, 0.5, 1.0])
    fresh = Adversary(DIM, 3)
    fresh.values.copy_(adversary.values)
    before = fresh.values.clone().double()
    fresh.learn(teacher, student, weights)
    moments = fresh.state.mean / 0.1
    for place in (0, DIM * 32, DIM * 32 + 40, len(before) - 1, 17):
        values = []
        for sign in (1.0, -1.0):
            moved = before.clone()
            moved[place] += sign * 1e-5
            values.append(told_by_hand(fresh, moved, teacher, student, weights))
        assert float(moments[place]) == pytest.approx((values[0] - values[1]) / 2e-5, abs=1e-5)
    after = told_by_hand(fresh, fresh.values, teacher, student, weights)
    assert after < told_by_hand(fresh, before, teacher, student, weights)


@pytest.mark.parametrize("learned", [0, 40])
def test_where_teacher_and_student_are_the_same_it_stays_at_chance(learned: int) -> None:
    """Value log 2, gradient exactly 0, however long it has looked for a difference."""
    adversary = Adversary(DIM, 3)
    for n in range(learned):
        same = cloud(20, n)
        adversary.learn(same, same, torch.ones(20))
    student = cloud(20, 99).requires_grad_()
    term = adversary.term(student, torch.ones(20))
    (gradient,) = torch.autograd.grad(term, student)
    assert float(term.detach()) == pytest.approx(math.log(2.0))
    assert not gradient.any()
    assert not adversary.odds(student.detach()).any()


def test_a_discriminator_of_zeros_gives_no_gradient() -> None:
    adversary = trained()
    adversary.values.zero_()
    student = cloud(20, 99, 2.0).requires_grad_()
    (gradient,) = torch.autograd.grad(adversary.term(student, torch.ones(20)), student)
    assert not gradient.any()


def test_of_one_distribution_it_learns_nothing_and_pulls_nowhere() -> None:
    """Other draws of the same: at chance on new ones, and the pull is noise around 0."""
    alike, apart = trained(200, shift=0.0), trained(200, shift=0.5)
    right, pull = {}, {}
    for name, adversary, shift in (("alike", alike, 0.0), ("apart", apart, 0.5)):
        teacher, student = cloud(2_000, 5_000), cloud(2_000, 5_001, shift).requires_grad_()
        told = (adversary.odds(teacher) > 0).float().mean()
        told = told + (adversary.odds(student.detach()) < 0).float().mean()
        right[name] = float(told) / 2
        term = adversary.term(student, torch.ones(2_000))
        pull[name] = torch.autograd.grad(term, student)[0].sum(0)
    assert abs(right["alike"] - 0.5) < 0.05 < 0.15 < right["apart"] - 0.5
    assert float(pull["alike"].norm()) < 0.2 * float(pull["apart"].norm())
    assert bool((pull["apart"] > 0).all()), "a step against it goes back to where the teacher is"


def batch(count: int, seed: int) -> SequenceBatch:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randint(0, ITEMS - 2, (count, 6), generator=generator)
    inputs[:, 0] = -1
    targets = torch.randint(0, ITEMS, (count, 6), generator=generator)
    return SequenceBatch(torch.full((count,), -1), inputs, targets, torch.ones(count, 6))


def at(teacher: Recommender, student: Recommender, dense: Tensor, seed: int) -> Step:
    """A step of a student whose dense weights are `dense`."""
    taken, views = batch(16, seed), student.layout.views(dense)
    given = student.gather(taken.inputs, taken.user_idx)
    hidden = student.encoder.queries(given, views, None)
    wanted = taken.targets >= 0
    return replace(
        step(teacher, student, (True, True)),
        batch=taken,
        wanted=wanted,
        replayed=torch.ones(16, dtype=torch.bool),
        owners=torch.arange(16)[:, None].expand_as(wanted)[wanted],
        queries=student.finish(hidden, views)[wanted],
        weights=taken.weights[wanted],
        dense=views,
    )


def test_it_pulls_a_disturbed_student_back_to_its_teacher() -> None:
    """By this term alone: answers come nearer to the teacher's, and as far without it nothing."""
    teacher = recommender(1)
    noise = torch.randn(len(teacher.dense), generator=torch.Generator().manual_seed(2))
    dense = teacher.dense + 0.25 * noise
    look = batch(64, 77)
    expected = teacher.queries(look)

    def apart() -> float:
        student.dense = dense
        return float((student.queries(look) - expected).mean((0, 1)).norm())

    student, term_of = recommender(1), method(form="adversarial", on="both", adaptive=False)
    before = apart()
    for n in range(150):
        leaf = dense.clone().requires_grad_()
        term = term_of.loss(at(teacher, student, leaf, n))
        assert term is not None
        dense = dense - 0.02 * torch.autograd.grad(term, leaf)[0]
    assert apart() < 0.4 * before


def found(given: Step, **parameters: Any) -> Tensor:
    learned: Distillation = method(form="adversarial", on="both", **parameters)
    for _ in range(5):
        term = learned.loss(given)
    assert term is not None
    return term


def test_strength_and_the_adaptive_weight_scale_it() -> None:
    given = step(recommender(1), recommender(2), (False, True))
    once = float(found(given, adaptive=False).detach())
    assert once > 0.01
    assert float(found(given, adaptive=False, strength=0.3).detach()) == pytest.approx(0.3 * once)
    assert method(form="adversarial", strength=0.0).loss(given) is None
    softer = float(found(given, adaptive=False, temperature=4.0).detach())
    assert softer != pytest.approx(once, rel=1e-3)
