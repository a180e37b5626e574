"""The per-example Fisher against one backward pass per example, from the paper's definition."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from models.batches import NO_HEAD, SampleSet
from models.config import LearningConfig
from models.continual import fisher as fisher_module
from models.continual.fisher import Fisher, estimate_fisher
from models.nets import Inputs, Recommender
from models.objectives import Candidates, NegativeSampler
from models.parameters import grown
from models.registry import ENCODERS

ITEMS, USERS = 11, 4


class FixedSampler(NegativeSampler):
    """Always the same candidates, so that two computations see the same loss."""

    def __init__(self, rows: list[int], shift: list[float]) -> None:
        super().__init__(np.ones(ITEMS), ITEMS)
        self._fixed = Candidates(torch.tensor(rows), torch.tensor(shift))

    def draw(
        self, generator: np.random.Generator, device: str | torch.device = "cpu"
    ) -> Candidates:
        return self._fixed


def recommender(
    encoder: str, normalize: bool, dim: int = 3, type_heads: tuple[str, ...] = ()
) -> Recommender:
    config = LearningConfig(
        encoder=encoder,
        heads=dim,
        normalize=normalize,
        embedding_dim=dim,
        temperature=3.0,
        seed=5,
        type_heads=type_heads,
    )
    return Recommender.initial(config).grown(ITEMS, USERS)


def samples() -> SampleSet:
    """Odd shapes: repeats within a history, a lone first item, an unknown item, unknown users."""
    sequences = [[3, 1, 3, 3, 7], [2], [5, 5], [0, -1, 9, 4, 10, 2, 6], [8, 2, 8]]
    return SampleSet(
        items=np.asarray(list(itertools.chain(*sequences)), np.int64),
        offsets=np.cumsum([0] + [len(sequence) for sequence in sequences]),
        num_targets=np.asarray([3, 1, 2, 5, 1]),
        users=np.asarray([0, 1, -1, 2, 0]),
        weights=np.ones(18, np.float32),
    )


def by_backward(net: Recommender, found: SampleSet, candidates: Candidates) -> dict[str, Tensor]:
    """Σ over examples of (∂ −log p / ∂θ)², one backward pass each."""
    sums = {name: torch.zeros_like(tensor) for name, tensor in net.snapshot().items()}
    for sample, count in enumerate(found.num_targets):
        items = found.items[found.offsets[sample] : found.offsets[sample + 1]]
        for place in range(len(items) - count, len(items)):
            for name, gradient in example_gradients(
                net,
                items[:place],
                int(items[place]),
                int(found.users[sample]),
                candidates,
                NO_HEAD if found.heads is None else int(found.heads[found.offsets[sample] + place]),
            ).items():
                sums[name] += gradient.square()
    return sums


def example_gradients(
    net: Recommender,
    past: np.ndarray,
    target: int,
    user: int,
    candidates: Candidates,
    head: int = NO_HEAD,
) -> dict[str, Tensor]:
    leaves = {name: part.clone().requires_grad_() for name, part in net.snapshot().items()}
    dense = net.layout.views(leaves["dense"])
    vectors = net.vectors(leaves["items"])
    given = Inputs(
        items=vectors,
        users=net.vectors(leaves["users"]),
        inputs=torch.tensor([[-1, *past.tolist()]]),
        user_idx=torch.tensor([user if net.encoder.has_users else -1]),
        domains=net.domains,
    )
    hidden = net.encoder.queries(given, dense, None)[0, -1]
    if head != NO_HEAD:
        hidden = hidden + dense["head_weight"][head] @ hidden
    query = net.finish(hidden, dense)
    others = candidates.rows != target
    logits = vectors[candidates.rows[others]] @ query - candidates.shift[others]
    own = vectors[target] @ query
    loss = torch.logsumexp(torch.cat([logits, own[None]]), 0) - own
    gradients = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
    return dict(zip(leaves, gradients, strict=True))


def estimated(net: Recommender, found: Fisher) -> dict[str, Tensor]:
    """Sums (not means) as whole tables."""
    return {
        name: found.add_to(name, torch.zeros_like(tensor)) * found.examples
        for name, tensor in net.snapshot().items()
    }


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("everything", [True, False])
@pytest.mark.parametrize("at_once", [1, 4, 128])
def test_agrees_with_one_backward_pass_per_example(
    encoder: str,
    normalize: bool,
    everything: bool,
    at_once: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fisher_module, "_EXAMPLES_AT_ONCE", at_once)
    net, found = recommender(encoder, normalize), samples()
    sampler = (
        FixedSampler(list(range(ITEMS)), [0.0] * ITEMS)
        if everything
        else FixedSampler([1, 2, 3, 10], [0.3, -0.7, 0.0, 1.1])
    )
    candidates = sampler.draw(np.random.default_rng(0))

    fisher = estimate_fisher(
        net, found, sampler, examples=99, labels="empirical", generator=np.random.default_rng(0)
    )

    assert fisher.examples == found.positions
    expected = by_backward(net, found, candidates)
    for name, tensor in estimated(net, fisher).items():
        torch.testing.assert_close(tensor, expected[name], rtol=2e-4, atol=1e-6)
    assert expected["dense"].any()


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("at_once", [1, 4, 128])
def test_agrees_through_heads(
    encoder: str, normalize: bool, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Targets of two heads, of none, and a third head that nothing goes through."""
    monkeypatch.setattr(fisher_module, "_EXAMPLES_AT_ONCE", at_once)
    net = recommender(encoder, normalize, type_heads=("buy", "click", "idle"))
    weight = net.layout.views(net.dense)["head_weight"]
    weight.normal_(generator=torch.Generator().manual_seed(1))
    plain = samples()
    found = dataclasses.replace(plain, heads=np.resize([1, 0, NO_HEAD, 0, 1], len(plain.items)))
    sampler = FixedSampler([1, 2, 3, 10], [0.3, -0.7, 0.0, 1.1])

    fisher = estimate_fisher(
        net, found, sampler, examples=99, labels="empirical", generator=np.random.default_rng(0)
    )

    expected = by_backward(net, found, sampler.draw(np.random.default_rng(0)))
    for name, tensor in estimated(net, fisher).items():
        torch.testing.assert_close(tensor, expected[name], rtol=5e-4, atol=1e-5)
    used = net.layout.views(expected["dense"])["head_weight"].flatten(1).any(1)
    assert used.tolist() == [True, True, False]


def test_is_not_the_square_of_the_mean_gradient() -> None:
    """Two examples whose gradients cancel have a Fisher all the same."""
    net, sampler = recommender("gru", False), FixedSampler([3, 4], [0.0, 0.0])
    pair = SampleSet(
        np.asarray([3, 4]),
        np.asarray([0, 1, 2]),
        np.asarray([1, 1]),
        np.asarray([0, 0]),
        np.ones(2, np.float32),
    )
    net.dense[:-1] = torch.where(net.dense[:-1] == 0, 0.1, net.dense[:-1])
    fisher = estimate_fisher(
        net, pair, sampler, examples=2, labels="empirical", generator=np.random.default_rng(0)
    )
    candidates, past = sampler.draw(np.random.default_rng(0)), np.empty(0, np.int64)
    apart = [example_gradients(net, past, item, 0, candidates)["items"] for item in (3, 4)]
    mean = torch.stack(apart).mean(0)
    per_example = fisher.add_to("items", torch.zeros(ITEMS, 3))
    assert float(per_example.sum()) > 1.5 * float(mean.square().sum())


def test_logistic_regression_has_its_closed_form() -> None:
    """Two items and a fixed query: F of a row is p(1−p) q² in expectation over the labels."""
    net = recommender("mf", False)
    many = SampleSet(
        np.zeros(4_000, np.int64),
        np.arange(4_001),
        np.ones(4_000, np.int64),
        np.zeros(4_000, np.int64),
        np.ones(4_000, np.float32),
    )
    fisher = estimate_fisher(
        net,
        many,
        FixedSampler([0, 1], [0.0, 0.0]),
        examples=4_000,
        labels="sampled",
        generator=np.random.default_rng(7),
    )
    query = net.users.rows[0]
    p = torch.softmax(net.items.rows[:2] @ query, 0)[0]
    found = fisher.add_to("items", torch.zeros(ITEMS, 3))
    torch.testing.assert_close(found[0], p * (1 - p) * query.square(), rtol=0.05, atol=0)
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=0)


@pytest.mark.parametrize("at_once", [64, 1024])
def test_the_square_of_a_batch_mean_falls_with_the_batch_and_the_fisher_does_not(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E[(mean of B gradients)²] = F/B where gradients are independent and of mean zero.

    One user's row as a query, two items, labels drawn from the model: example n has the gradient
    (p − y_n) q at the first item's row. The Fisher is its mean square (Kirkpatrick, 2017; Martens,
    2014), however many examples are computed at once; libraries that square the gradient of a
    batch's mean loss divide it by the size of the batch.
    """
    net, total = recommender("mf", False), 8_192
    query = net.users.rows[0].double()
    p = torch.softmax(net.items.rows[:2].double() @ query, 0)
    drawn = np.random.default_rng(3).random(total) < float(p[1])
    labels = SampleSet(
        drawn.astype(np.int64),
        np.arange(total + 1),
        np.ones(total, np.int64),
        np.zeros(total, np.int64),
        np.ones(total, np.float32),
    )
    gradients = (p[0] - torch.from_numpy(~drawn).double())[:, None] * query
    by_example = gradients.square().mean(0)

    monkeypatch.setattr(fisher_module, "_EXAMPLES_AT_ONCE", at_once)
    fisher = estimate_fisher(
        net,
        labels,
        FixedSampler([0, 1], [0.0, 0.0]),
        examples=total,
        labels="empirical",
        generator=np.random.default_rng(0),
    )
    found = fisher.add_to("items", torch.zeros(ITEMS, 3))[0].double()

    torch.testing.assert_close(found, by_example, rtol=1e-3, atol=0)
    torch.testing.assert_close(found, p[0] * p[1] * query.square(), rtol=0.05, atol=0)
    for batch_size in (2, 4, 16):
        by_batch = gradients.view(-1, batch_size, len(query)).mean(1).square().mean(0)
        torch.testing.assert_close(by_batch * batch_size, by_example, rtol=0.2, atol=0)


def test_examples_are_bounded_and_chosen_by_the_generator() -> None:
    net, sampler = recommender("gru", True), FixedSampler([1, 2, 3], [0.0] * 3)
    few = [
        estimate_fisher(
            net,
            samples(),
            sampler,
            examples=5,
            labels="empirical",
            generator=np.random.default_rng(seed),
        )
        for seed in (1, 1, 2)
    ]
    assert [fisher.examples for fisher in few] == [5, 5, 5]
    first, again, other = (estimated(net, fisher)["dense"] for fisher in few)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_adding_to_a_grown_table_leaves_the_rest() -> None:
    net, sampler = recommender("gru", True), FixedSampler([1], [0.0])
    fisher = estimate_fisher(
        net,
        samples(),
        sampler,
        examples=99,
        labels="empirical",
        generator=np.random.default_rng(0),
    )
    wide = fisher.add_to("items", grown(torch.ones(ITEMS, 3), ITEMS + 2))
    assert torch.equal(wide[ITEMS:], torch.zeros(2, 3))
