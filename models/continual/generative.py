"""Generative replay: the model rehearses histories that it makes up itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch

from models.config import LearningConfig
from models.continual.method import EVERY, Method, checked, counted
from models.continual.moments import Rehearsal
from models.interactions import Sample

_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of generative replay."""

    ratio: float = 1.0
    """Made-up samples per new one."""
    length: int = 6
    """Items of a made-up history."""
    top: int = 100
    """An item is drawn from the so many most likely ones."""

    def __post_init__(self) -> None:
        checked("ratio", self.ratio, 0.0, 100.0)
        counted("length", self.length, 2, 1_000)
        counted("top", self.top, 1)


class GenerativeReplay(Method):
    """Histories drawn item by item from the model that the update starts from; nothing is kept.

    The first item is drawn by how often items were met, each further one from the model's softmax
    over its best `top` items after the history so far, none twice. Where event types have heads,
    the lines are made up through the shared query and through each head by turns, and learned
    through the same. So no event of anybody is stored
    for rehearsal, and the generator is trained continually, being the model itself. What it has
    forgotten it cannot rehearse: its gap to real replay grows with the number of updates.

    Source: Shin et al., 2017 (arXiv 1705.08690). Deviation: no second network; the solver is its
    own generator, as language models rehearse in LAMOL (Sun et al., 2020, arXiv 1909.03329).
    """

    name = "generative-replay"
    encoders = EVERY
    parameter_type: ClassVar = Parameters

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters

    @classmethod
    def initial(cls, config: LearningConfig) -> Self:
        return cls(cls.chosen(config))

    def rehearse(self, given: Rehearsal) -> Sequence[Sample]:
        state, chosen = given.parent, self.parameters
        wanted = round(chosen.ratio * given.fresh)
        length = min(chosen.length, state.config.max_history, len(state.items))
        counts = state.counts.numpy()
        if wanted == 0 or length < 2 or state.updates == 0 or not counts.any():
            return ()
        random = np.random.default_rng([given.seed, 3])
        kinds = ["", *state.net.heads.types]
        first = random.choice(len(counts), size=wanted, p=counts / counts.sum())
        turn = np.arange(wanted) % len(kinds)
        parts = -(-wanted // _AT_ONCE)
        lines = np.concatenate(
            [
                self._lines(given, part, heads, length, random)
                for part, heads in zip(
                    np.array_split(first, parts), np.array_split(turn - 1, parts), strict=True
                )
            ]
        )
        ids = state.items.ids
        return [
            Sample(
                user_id="",
                item_ids=tuple(ids[row] for row in line),
                num_targets=length,
                types=(kinds[place],) * length,
                weights=(1.0,) * length,
                key=0,
                time_ms=0,
            )
            for line, place in zip(lines.tolist(), turn.tolist(), strict=True)
        ]

    def _lines(
        self,
        given: Rehearsal,
        first: np.ndarray,
        heads: np.ndarray,
        length: int,
        random: np.random.Generator,
    ) -> np.ndarray:
        """Item rows [n, length] that go on from `first` [n], each through its head of [n]."""
        net, vectors = given.parent.net, given.parent.net.item_vectors()
        lines = torch.from_numpy(first)[:, None]
        while lines.shape[1] < length:
            asked = heads.tolist() if net.heads.types else None
            queries = net.encode(lines.tolist(), [-1] * len(lines), asked)
            scores = queries @ vectors.T
            scores.scatter_(1, lines, -torch.inf)
            best, rows = scores.topk(min(self.parameters.top, len(vectors) - lines.shape[1]))
            reached = best.softmax(1).cumsum(1)
            points = torch.from_numpy(random.random((len(lines), 1))).to(reached) * reached[:, -1:]
            drawn = torch.searchsorted(reached, points).clamp(max=rows.shape[1] - 1)
            lines = torch.cat([lines, rows.gather(1, drawn)], dim=1)
        return lines.numpy()
