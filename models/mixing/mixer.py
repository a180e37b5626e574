"""The mixer: a small network over what the sources say of a candidate, learned from what came next.

Legend: C candidates, F features, H hidden units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.adam import AdamState
from models.mixing.features import Features, names
from models.sources import PRIOR

Floats = npt.NDArray[np.float64]
Kept = Features | npt.NDArray[np.float16]
"""Features in half precision, too, as many of them are kept."""

HIDDEN = 32
BY_FEATURE = ("weights", "mean", "mean_square")
"""The tensors of a mixer that have a part for each feature."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """A question that has been answered by what happened: candidates, and which of them came."""

    features: Kept
    """[C, F]."""
    targets: npt.NDArray[np.int64]
    """Places among the candidates, at least one."""
    answer: bool = False
    """Whether the candidates are what an answer showed, and not all that there were."""


@dataclass(frozen=True, slots=True)
class Mixer:
    """z(x) = u·x + v·relu(Wx + b): a linear model, and a hidden layer that begins as nothing.

    A value: learning makes another one.

    Attributes:
        sources: whose words it weighs, in the order of the features.
        weights: all weights in one tensor [P].
        mean, mean_square, steps: what Adam remembers of them.

    Source: listwise softmax after Cao et al., Learning to Rank: From Pairwise Approach to Listwise
    Approach, 2007, with the top one alone; Adam after Kingma and Ba, 2015 (arXiv 1412.6980).
    """

    sources: tuple[str, ...]
    weights: Tensor
    mean: Tensor
    mean_square: Tensor
    steps: Tensor

    @classmethod
    def initial(cls, sources: Sequence[str], seed: int = 0) -> Mixer:
        """Nothing learned: the sum of the reciprocal ranks that the sources give, by `PRIOR`.

        Source: Cormack, Clarke and Büttcher, Reciprocal Rank Fusion, 2009, without its constant.
        """
        features = names(sources)
        generator = torch.Generator().manual_seed(seed)
        linear = torch.tensor([_prior(name) for name in features])
        hidden = torch.randn(HIDDEN, len(features), generator=generator) / len(features) ** 0.5
        parts = (linear, hidden.flatten(), torch.zeros(2 * HIDDEN))
        weights = torch.cat(parts)
        return cls(
            tuple(sources),
            weights,
            torch.zeros_like(weights),
            torch.zeros_like(weights),
            torch.zeros(1),
        )

    def hearing(self, sources: Sequence[str]) -> Mixer:
        """The same with other sources: what it knows of those it heard stays, on others it is deaf
        until it has learned to hear them."""
        return Mixer.load(sources, self.tensors(), names(self.sources))

    def scores(self, features: Kept) -> Floats:
        """How likely each candidate [C] is, up to a factor: higher is better."""
        with torch.inference_mode():
            x = torch.from_numpy(features.astype(np.float32, copy=False))
            return _scores(x, *_parts(self.weights, features.shape[1])).numpy()

    def trained(
        self,
        lessons: Sequence[Lesson],
        *,
        seed: int,
        epochs: int = 3,
        learning_rate: float = 0.005,
        batch_size: int = 32,
    ) -> Mixer:
        """The mixer after more lessons: −Σ log softmax(z)[target] / targets, by Adam.

        Returns the mixer itself where there is nothing to learn. On a CPU the same arguments give
        the same weights to the bit.
        """
        if not lessons:
            return self
        weights = self.weights.clone()
        adam = AdamState(self.mean.clone(), self.mean_square.clone(), self.steps.clone())
        order = np.random.default_rng(seed)
        for _ in range(epochs):
            shuffled = order.permutation(len(lessons))
            for start in range(0, len(lessons), batch_size):
                batch = [lessons[at] for at in shuffled[start : start + batch_size]]
                leaf = weights.detach().requires_grad_()
                (gradient,) = torch.autograd.grad(self._loss(leaf, batch), leaf)
                adam.step(weights, gradient, learning_rate)
        return Mixer(self.sources, weights, adam.mean, adam.mean_square, adam.steps)

    def _loss(self, weights: Tensor, batch: Sequence[Lesson]) -> Tensor:
        sizes = [len(lesson.features) for lesson in batch]
        features = torch.from_numpy(
            np.concatenate([lesson.features for lesson in batch]).astype(np.float32)
        )
        z = _scores(features, *_parts(weights, features.shape[1]))
        lists = torch.nn.utils.rnn.pad_sequence(
            list(torch.split(z, sizes)), batch_first=True, padding_value=-torch.inf
        )
        likely = torch.log_softmax(lists, dim=1)
        row = np.repeat(np.arange(len(batch)), [len(lesson.targets) for lesson in batch])
        place = np.concatenate([lesson.targets for lesson in batch])
        share = np.concatenate(
            [np.full(len(lesson.targets), 1.0 / len(lesson.targets)) for lesson in batch]
        )
        chosen = likely[torch.from_numpy(row), torch.from_numpy(place)]
        return -(chosen * torch.from_numpy(share.astype(np.float32))).sum() / len(batch)

    def speaks(self, lessons: Sequence[Lesson]) -> dict[str, float]:
        """The share of each source, item, pair and moment in what sets candidates apart.

        Mean over lessons of Σ |∂z/∂x · (x − mean over the candidates)| by group; shares sum to 1.
        """
        groups = [name.split(".")[0] for name in names(self.sources)]
        total = np.zeros(len(groups))
        linear, hidden, bias, outer = _parts(self.weights, len(groups))
        for lesson in lessons:
            x = torch.from_numpy(lesson.features.astype(np.float32))
            with torch.inference_mode():
                active = (x @ hidden.T + bias > 0).float()
                slope = linear + (active * outer) @ hidden
                total += (slope * (x - x.mean(dim=0))).abs().mean(dim=0).numpy()
        shares: dict[str, float] = {}
        for group, value in zip(groups, total / max(total.sum(), 1e-12), strict=True):
            shares[group] = shares.get(group, 0.0) + float(value)
        return shares

    def tensors(self) -> dict[str, Tensor]:
        """All of it by name."""
        return {
            "weights": self.weights,
            "mean": self.mean,
            "mean_square": self.mean_square,
            "steps": self.steps,
        }

    @classmethod
    def load(
        cls,
        sources: Sequence[str],
        tensors: Mapping[str, Tensor],
        features: Sequence[str] | None = None,
    ) -> Mixer:
        """The inverse of `tensors`.

        Args:
            features: what the weights are of, by name; None: what is told of these sources by now.
                It is deaf to others, and what is told no more is dropped.

        Raises:
            ValueError: there are more or fewer weights than the features have.
        """
        heard = names(sources)
        known = {name: place for place, name in enumerate(heard if features is None else features)}
        places = torch.tensor([known.get(name, -1) for name in heard])
        laid_out = {}
        for name in BY_FEATURE:
            if len(tensors[name]) != (expected := size_of(len(known))):
                raise ValueError(f"mixer: {len(tensors[name])} {name}, {expected} expected")
            laid_out[name] = _laid_out(tensors[name], len(known), places)
        return cls(tuple(sources), **laid_out, steps=tensors["steps"])


def size_of(features: int) -> int:
    """Weights of a mixer that is told so many features."""
    return (HIDDEN + 1) * features + 2 * HIDDEN


def _prior(feature: str) -> float:
    source, _, what = feature.partition(".")
    return PRIOR.get(source, 1.0) if what == "rank" else 0.0


def _parts(weights: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """linear [F], hidden [H, F], bias [H], outer [H]."""
    linear, hidden, bias, outer = torch.split_with_sizes(
        weights, [size, HIDDEN * size, HIDDEN, HIDDEN]
    )
    return linear, hidden.view(HIDDEN, size), bias, outer


def _laid_out(weights: Tensor, size: int, places: Tensor) -> Tensor:
    """Weights of `size` features as those of others: which of the former each is, below 0 none."""
    linear, hidden, bias, outer = _parts(weights, size)
    kept = (places >= 0).to(weights.dtype)
    linear, hidden = linear[places] * kept, hidden[:, places] * kept
    return torch.cat((linear, hidden.flatten(), bias, outer))


def _scores(x: Tensor, linear: Tensor, hidden: Tensor, bias: Tensor, outer: Tensor) -> Tensor:
    active = torch.nn.functional.linear(x, hidden, bias).relu_()
    return torch.addmv(torch.mv(x, linear), active, outer)
