"""The pattern that Hsu et al. (2018) report for EWC and SI, on scikit-learn's digits.

Five tasks of two digits each, one after the other. Told the task (a head for each), both methods
keep what finetuning forgets; told nothing and with one output for each digit, neither does better
than the last task allows, 20 %: a class-incremental penalty far above that would be a leak. With
two outputs shared by all tasks (domain) they lie between.

Source: arXiv 1810.12488, table 2 (there on split MNIST: about 98 / 59 / 20 for EWC).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor

from models.adam import AdamState
from models.config import LearningConfig
from models.continual.fisher import Fisher
from models.continual.method import Method
from models.continual.methods import method_named
from models.continual.moments import Move, Start
from models.continual.optimizers import DenseOptimizer
from models.continual.quadratic import merged
from models.parameters import Layout

HIDDEN, EPOCHS, SIZE, RATE = 6, 30, 32, 1e-2
STRENGTH = {"ewc": 100.0, "online-ewc": 100.0, "si": 0.1}
TASKS = 5


@dataclass(frozen=True)
class Scenario:
    """`task`: a head per task; `domain`: one head of two; `class`: one head of ten."""

    kind: str

    def outputs(self) -> int:
        return 2 if self.kind == "domain" else 2 * TASKS

    def label(self, digit: Tensor) -> Tensor:
        return digit % 2 if self.kind == "domain" else digit

    def seen(self, logits: Tensor, task: int) -> Tensor:
        """Logits that count: of the task's own head, where it is told."""
        if self.kind != "task":
            return logits
        mask = torch.full_like(logits, -torch.inf)
        mask[..., 2 * task : 2 * task + 2] = 0.0
        return logits + mask


@cache
def digits() -> tuple[list[tuple[Tensor, Tensor]], list[tuple[Tensor, Tensor]]]:
    """(images [n, 64], digits [n]) of each task, for training and for testing."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    parts: tuple[list[Any], list[Any]] = ([], [])
    for half, chosen in zip(parts, (order[:1_300], order[1_300:]), strict=True):
        for task in range(TASKS):
            own = chosen[labels[chosen] // 2 == task]
            half.append(
                (torch.from_numpy(images[own] / 16.0).float(), torch.from_numpy(labels[own]))
            )
    return parts


def logits(layout: Layout, dense: Tensor, images: Tensor) -> Tensor:
    parts = layout.views(dense)
    hidden = torch.tanh(F.linear(images, parts["w1"], parts["b1"]))
    return F.linear(hidden, parts["w2"], parts["b2"])


def fisher_of(scenario: Scenario, layout: Layout, dense: Tensor, data: Any, task: int) -> Fisher:
    """Per-example empirical Fisher, one backward pass for each example."""
    squares = torch.zeros_like(dense)
    for image, digit in zip(*data, strict=True):
        leaf = dense.clone().requires_grad_()
        scores = scenario.seen(logits(layout, leaf, image[None]), task)
        loss = F.cross_entropy(scores, scenario.label(digit)[None])
        squares += torch.autograd.grad(loss, leaf)[0].square()
    return Fisher(len(data[1]), squares, {})


@cache
def accuracy(name: str | None, kind: str) -> float:
    """Mean accuracy over all five tasks after the last."""
    scenario = Scenario(kind)
    layout = Layout(
        (
            ("w1", (HIDDEN, 64)),
            ("b1", (HIDDEN,)),
            ("w2", (scenario.outputs(), HIDDEN)),
            ("b2", (scenario.outputs(),)),
        )
    )
    random = torch.Generator().manual_seed(1)
    dense = torch.randn(layout.size, generator=random) * 0.1
    method: Method | None = None
    if name is not None:
        settings = LearningConfig(parameters={name: {"strength": STRENGTH[name]}})
        method = method_named(name).initial(settings)
    train, test = digits()
    for task, (images, labels) in enumerate(train):
        start = {"dense": dense.clone()}
        pull = None
        if method is not None:
            method = method.begun(Start(start, {"dense": len(dense)}))
            pull = merged([method.pulls(start)["dense"]])
        optimizer = DenseOptimizer(dense, AdamState.empty(layout.size), RATE, pull)
        for _ in range(EPOCHS):
            order = torch.randperm(len(labels), generator=random)
            for chosen in torch.split(order, SIZE):
                leaf = dense.clone().requires_grad_()
                scores = scenario.seen(logits(layout, leaf, images[chosen]), task)
                loss = F.cross_entropy(scores, scenario.label(labels[chosen]))
                (gradient,) = torch.autograd.grad(loss, leaf)
                before = dense.clone()
                optimizer.step(gradient)
                if method is not None and method.watches_moves:
                    method.moved("dense", Move(None, gradient, dense - before))
        if method is not None:
            fisher = Fisher()
            if method.needs_fisher:
                fisher = fisher_of(scenario, layout, dense, train[task], task)
            method = method.consolidate({"dense": dense.clone()}, fisher)
    hits = [
        (scenario.seen(logits(layout, dense, images), task).argmax(1) == scenario.label(labels))
        for task, (images, labels) in enumerate(test)
    ]
    return float(np.mean([hit.float().mean() for hit in hits]))


each = pytest.mark.parametrize("name", list(STRENGTH))


@each
def test_told_the_task_it_keeps_what_finetuning_forgets(name: str) -> None:
    assert accuracy(name, "task") > 0.9
    assert accuracy(name, "task") > accuracy(None, "task") + 0.05


@each
def test_told_nothing_it_knows_the_last_task_alone(name: str) -> None:
    """Anything far above a fifth would be a leak."""
    assert accuracy(name, "class") < 0.25
    assert 0.15 < accuracy(None, "class") < 0.25


@each
def test_with_shared_outputs_it_lies_between(name: str) -> None:
    assert accuracy(name, "class") < accuracy(name, "domain") < accuracy(name, "task")
    assert accuracy(name, "domain") > accuracy(None, "domain") + 0.02
