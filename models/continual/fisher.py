"""The diagonal of the Fisher information, per example.

F = E[(∂ log p(label | history) / ∂θ)²], estimated as the mean over examples of each example's own
squared gradient, never the square of a mean, which falls with how many it is a mean of (ADR 10). An
**example is one target position**: a history cut at that position, and one label. p is the softmax
the model is trained with, over the candidates of one draw and the target. A model trained by the
generalised binary cross entropy is taken at the same p: at that loss's optimum e^score is
proportional to the item's odds whatever its negatives and calibration (they move all scores by one
constant, which a softmax does not see), and odds are chances where these are small.

Two estimators, named by where the label comes from: `empirical` takes the item that was observed,
`sampled` one drawn from the model's own p (the true Fisher in expectation; Kunstner et al., 2019,
arXiv 1905.12558, on the difference).

Every parameter is exact for these examples: rows from closed forms (a row read by the history and
scored in the output is summed before it is squared), dense weights from each example's own
gradient, which the encoder gives (`Encoder.examples`).

Source: Kirkpatrick et al., 2017 (arXiv 1612.00796). Legend: B examples, M candidates, R gathered
rows, S sequence, D embedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from models.batches import NO_HEAD, SampleSet, SequenceBatch
from models.interactions import Rows
from models.nets import ExampleGradients, Inputs, Recommender
from models.objectives import NegativeSampler, softmax_coefficients
from models.parameters import touched_rows

_EXAMPLES_AT_ONCE = 128


@dataclass(slots=True)
class Fisher:
    """Sums of squared gradients over `examples` examples, sparse for tables."""

    examples: int = 0
    dense: Tensor | None = None
    """[P]."""
    tables: dict[str, list[tuple[Tensor, Tensor]]] = field(default_factory=dict)
    """By table, parts of (rows [R], squares [R, D])."""

    def add_to(self, name: str, importance: Tensor) -> Tensor:
        """Add the mean over examples to `importance` (`dense` [P] or a table [N, D]), in place."""
        scale = 1.0 / max(self.examples, 1)
        if name == "dense":
            return importance if self.dense is None else importance.add_(self.dense, alpha=scale)
        for rows, squares in self.tables.get(name, ()):
            importance.index_add_(0, rows, squares, alpha=scale)
        return importance

    def add(self, name: str, rows: Tensor, squares: Tensor) -> None:
        self.tables.setdefault(name, []).append((rows, squares))


def estimate_fisher(
    net: Recommender,
    samples: SampleSet,
    sampler: NegativeSampler,
    *,
    examples: int,
    labels: str,
    generator: np.random.Generator,
    device: str | torch.device = "cpu",
) -> Fisher:
    """The Fisher at the weights of `net` from at most `examples` targets of `samples`.

    Args:
        net: all rows that samples name are there.
        samples: what was learned; targets are chosen uniformly without replacement.
        sampler: makes the candidates of each chunk of examples.
        examples: how many targets, at most.
        labels: `empirical` or `sampled`.
        generator: chooses examples, candidates and sampled labels.
        device: where `net` is.
    """
    fisher = Fisher()
    for batch, last in _chosen(samples, examples, generator, device):
        with torch.no_grad():
            _add_chunk(fisher, net, batch, last, sampler, labels, generator)
        fisher.examples += len(last)
    return fisher


def _chosen(
    samples: SampleSet, examples: int, generator: np.random.Generator, device: str | torch.device
) -> Iterator[tuple[SequenceBatch, Tensor]]:
    """Chunks of examples: sequences, and for each the position of its one target."""
    owner = np.repeat(np.arange(len(samples)), samples.num_targets)
    ends = np.repeat(np.cumsum(samples.num_targets), samples.num_targets)
    back = ends - np.arange(samples.positions)  # 1 for a sample's last target
    lengths = np.diff(samples.offsets)
    if len(owner) > examples:
        kept = np.sort(generator.choice(len(owner), examples, replace=False))
        owner, back = owner[kept], back[kept]
    last: Rows = lengths[owner] - back
    order = np.argsort(last, kind="stable")
    for first in range(0, len(order), _EXAMPLES_AT_ONCE):
        chunk = order[first : first + _EXAMPLES_AT_ONCE]
        batch = samples.batch(owner[chunk], device)
        longest = int(last[chunk].max()) + 1
        yield batch.until(longest), torch.from_numpy(last[chunk]).to(device)


def _add_chunk(
    fisher: Fisher,
    net: Recommender,
    batch: SequenceBatch,
    last: Tensor,
    sampler: NegativeSampler,
    labels: str,
    generator: np.random.Generator,
) -> None:
    """Add the squared gradients of one chunk of examples to the sums."""
    examples = torch.arange(len(last), device=last.device)
    drawn = sampler.draw(generator, last.device)
    users = batch.user_idx if net.encoder.has_users else torch.full_like(batch.user_idx, -1)
    touched = touched_rows(batch.inputs, batch.targets[examples, last], drawn.rows)
    inputs, targets, candidates = touched.places
    touched_users = touched_rows(users)
    item_rows, user_rows = net.items.rows[touched.rows], net.users.rows[touched_users.rows]
    given = Inputs(
        net.vectors(item_rows),
        net.vectors(user_rows),
        inputs,
        touched_users.places[0],
        net.domains_of(touched.rows),
    )
    dense = net.layout.views(net.dense)

    heads = None if batch.heads is None else batch.heads[examples, last]
    hidden, backward = net.encoder.examples(given, last, dense)
    with torch.enable_grad():
        leaf = hidden.requires_grad_()
        headed = leaf if heads is None else net.heads(leaf, heads, dense)
        queries = net.scaled(headed, dense)
    scores = queries.detach() @ given.items.T
    coefficients = _score_gradients(
        queries.detach(), given.items, targets, candidates, drawn.shift, labels, generator
    )
    with torch.enable_grad():  # a product and a sum: torch imports an algebra system for the other
        pushed = (queries * (coefficients @ given.items)).sum()
    to_hidden, to_headed = torch.autograd.grad(pushed, [leaf, headed])
    found = backward(to_hidden)

    turned = net.normalize
    items = _output_squares(queries.detach(), given.items, item_rows, scores, coefficients, turned)
    _add_history(items, found, given, item_rows, queries.detach(), coefficients, turned)
    fisher.add("items", touched.rows, items)
    if net.encoder.has_users:
        _add_users(fisher, found, given, user_rows, touched_users.rows, turned)
    temperature = (coefficients * scores).sum(1).square().sum() if turned else scores.new_zeros(())
    squares = torch.cat(
        [found.dense, *_head_squares(net, hidden.detach(), heads, to_headed), temperature[None]]
    )
    fisher.dense = squares if fisher.dense is None else fisher.dense + squares


def _head_squares(
    net: Recommender, hidden: Tensor, heads: Tensor | None, gradient: Tensor
) -> list[Tensor]:
    """Those of the heads, in a list that is empty where the net has none."""
    if not net.heads.types:
        return []
    if heads is None:
        heads = torch.full((len(hidden),), NO_HEAD, device=hidden.device)
    return [net.heads.squares(hidden, heads, gradient)]


def _score_gradients(
    queries: Tensor,
    vectors: Tensor,
    targets: Tensor,
    candidates: Tensor,
    shift: Tensor,
    labels: str,
    generator: np.random.Generator,
) -> Tensor:
    """∂ loss_b / ∂ score_br, [B, R]: p less 1 at the label; 0 for rows that are not scored."""
    _, others, own = softmax_coefficients(queries, vectors, targets, candidates, shift)
    chances = queries.new_zeros(len(queries), len(vectors))
    chances[:, candidates] = others
    chances.scatter_(1, targets[:, None], (own + 1.0)[:, None])
    if labels == "empirical":
        label = targets
    else:
        points = torch.from_numpy(generator.random(len(queries))).to(chances)[:, None]
        reached = chances.cumsum(1)
        label = torch.searchsorted(reached, points * reached[:, -1:])[:, 0]
        label = label.clamp(max=len(vectors) - 1)
    at = torch.arange(len(queries), device=queries.device)
    chances[at, label] -= 1.0
    return chances


def _through_norm(gradient: Tensor, vectors: Tensor, rows: Tensor, normalized: bool) -> Tensor:
    """From the gradient of a direction to that of its row: (g − (g·v)v) / |row|."""
    if not normalized:
        return gradient
    along = (gradient * vectors).sum(-1, keepdim=True)
    across: Tensor = gradient - along * vectors
    return across.div_(rows.norm(dim=-1, keepdim=True).clamp(min=1e-6))


def _output_squares(
    queries: Tensor,
    vectors: Tensor,
    rows: Tensor,
    scores: Tensor,
    coefficients: Tensor,
    normalized: bool,
) -> Tensor:
    """Σ_b (c_br ∂score_br/∂row_r)², [R, D], by three products instead of B·R gradients."""
    weights = coefficients.square()
    squares: Tensor = weights.T @ queries.square()
    if not normalized:
        return squares
    along = weights * scores
    squares -= 2.0 * vectors * (along.T @ queries)
    squares += vectors.square() * (along * scores).sum(0)[:, None]
    norms = rows.norm(dim=1, keepdim=True).clamp(min=1e-6)
    return squares.clamp_(min=0.0).div_(norms.square())


def _add_history(
    squares: Tensor,
    found: ExampleGradients,
    given: Inputs,
    rows: Tensor,
    queries: Tensor,
    coefficients: Tensor,
    normalized: bool,
) -> None:
    """Complete `squares` for rows read by histories: (h + o)² = o² + h² + 2ho, o² is there."""
    owner, step = (given.inputs >= 0).nonzero(as_tuple=True)
    pairs = owner * len(rows) + given.inputs[owner, step]
    pairs, place = torch.unique(pairs, return_inverse=True)
    history = squares.new_zeros(len(pairs), squares.shape[1])
    history.index_add_(0, place, found.inputs[owner, step])
    example, row = pairs // len(rows), pairs % len(rows)
    output = queries[example] * coefficients[example, row][:, None]
    history = _through_norm(history, given.items[row], rows[row], normalized)
    output = _through_norm(output, given.items[row], rows[row], normalized)
    squares.index_add_(0, row, history * (history + 2.0 * output)).clamp_(min=0.0)


def _add_users(
    fisher: Fisher,
    found: ExampleGradients,
    given: Inputs,
    rows: Tensor,
    table_rows: Tensor,
    normalized: bool,
) -> None:
    known = given.user_idx >= 0
    place = given.user_idx[known]
    gradient = _through_norm(found.users[known], given.users[place], rows[place], normalized)
    squares = torch.zeros_like(rows).index_add_(0, place, gradient.square())
    fisher.add("users", table_rows, squares)
