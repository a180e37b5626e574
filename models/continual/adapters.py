"""Adapters: the encoder stands still and each domain of items learns what it adds to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import torch
from torch import Tensor

from models.config import LearningConfig
from models.continual.domains import Domains
from models.continual.fisher import Fisher
from models.continual.method import EVERY, Method, counted
from models.continual.moments import Start
from models.nets.adapters import Adapters
from models.parameters import Snapshot, grown

if TYPE_CHECKING:
    from models.nets import Recommender

_PARTS = ("centres", "least", "of")


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of adapters."""

    after: int = 1
    """Updates in which everything learns, before the encoder stands still."""
    domains: int = 8
    """Clusters of the items that there are then."""
    most: int = 16
    """Domains there may be once items have come that are unlike all of those."""
    rank: int = 8
    """Units of an adapter; those that there are keep theirs."""

    def __post_init__(self) -> None:
        counted("after", self.after, 1)
        counted("domains", self.domains, 1)
        counted("most", self.most, self.domains)
        counted("rank", self.rank, 1)


class DomainAdapters(Method):
    """After its first updates the encoder stands still; adapters by domain learn, and the rows.

    A question's domain is that of the user's latest item (`models.nets.adapters`), an item's the
    cluster it was put into after the first update that trained on it (`Domains`); its row says
    nothing while all who have met it are held out. A domain that is new gets
    its adapter at the start of the next update, and until then its questions go through none. Heads
    and the temperature, which all domains share, go on learning.

    Source: Rebuffi et al., 2017 (arXiv 1705.08045); how they begin, Houlsby et
    al., 2019 (arXiv 1902.00751). Deviation: domains are found, not given.
    """

    name = "adapters"
    encoders = EVERY
    parameter_type: ClassVar = Parameters

    def __init__(
        self,
        parameters: Parameters,
        seed: int,
        updates: int = 0,
        domains: Domains | None = None,
        met: Tensor | None = None,
    ) -> None:
        """`met` [N] bool is which items have been trained on; None: all that there are."""
        self.parameters = parameters
        self.seed = seed
        self.updates = updates
        self.domains = domains
        self.met = met

    @classmethod
    def initial(cls, config: LearningConfig) -> Self:
        return cls(cls.chosen(config), config.seed)

    def resized(self, net: Recommender, seed: int) -> Recommender:
        if self.domains is None:  # what an earlier life of the method has left is of other domains
            nobody = torch.empty(0, dtype=torch.int64)
            return net.with_adapters(Adapters(), nobody, seed) if net.adapters else net
        rank = net.adapters.rank or self.parameters.rank
        adapters = Adapters(tuple(range(len(self.domains.centres))), rank)
        return net.with_adapters(adapters, self.domains.of, seed)

    def begun(self, start: Start) -> Self:
        met, known = self.met, start.known["items"]
        if met is None:
            met = torch.ones(known, dtype=torch.bool)
        size = len(start.weights["items"])
        met = grown(met, size, False) | start.lesson.names(torch.arange(size))
        return type(self)(self.parameters, self.seed, self.updates, self.domains, met)

    def held(self, net: Recommender) -> Tensor | None:
        if self.domains is None:
            return None
        return net.layout.among(net.base_names, net.dense.device)

    def consolidate(self, learned: Snapshot, fisher: Fisher) -> Self:
        updates, domains = self.updates + 1, self.domains
        if updates >= self.parameters.after and (self.met is None or bool(self.met.any())):
            vectors, given = learned["items"].cpu(), self.parameters
            if domains is None:
                domains = Domains.found(vectors, given.domains, self.seed, self.met)
            else:
                domains = domains.grown(vectors, given.most, self.met)
        return type(self)(self.parameters, self.seed, updates, domains, self.met)

    def state_dict(self) -> dict[str, Tensor]:
        kept = {"updates": torch.tensor([self.updates])}
        if self.met is not None:
            kept["met"] = self.met
        if self.domains is not None:
            kept |= {name: getattr(self.domains, name) for name in _PARTS}
        return kept

    def load(self, tensors: Mapping[str, Tensor]) -> Self:
        found = {name: tensors[name] for name in _PARTS if name in tensors}
        domains = Domains(**found) if found else None
        met = tensors.get("met")
        return type(self)(self.parameters, self.seed, int(tensors["updates"]), domains, met)
