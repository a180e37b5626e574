"""Progressive blocks: the encoder stands still and new blocks on it learn what is new."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from torch import Tensor

from models.config import LearningConfig
from models.continual.counting import Counting
from models.continual.method import EVERY, counted
from models.continual.moments import Start

if TYPE_CHECKING:
    from models.nets import Recommender


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of progressive blocks."""

    width: int = 16
    """Units of a block."""
    every: int = 4
    """Updates from one new block to the next."""
    most: int = 4
    """Blocks there may be; with 0 the method does nothing."""
    rows: bool = True
    """Whether rows of items and users go on learning beside the newest block; new ones as well."""

    def __post_init__(self) -> None:
        counted("width", self.width, 1)
        counted("every", self.every, 1)
        counted("most", self.most, 0)
        if not isinstance(self.rows, bool):
            raise ValueError(f"rows: must be true or false, got {self.rows!r}")


class Progressive(Counting):
    """Every `every` updates the encoder gets a block; what it had before stands still from then on.

    The newest block alone learns, with links from all the older ones (`models.nets.blocks`), until
    the next comes; the last one goes on learning. Before the first block everything learns.

    Source: Rusu et al., 2016 (arXiv 1606.04671). Deviations, beside those of the blocks: a few
    updates stand for a task; there is one output, not one by task, so that old answers do change by
    what new blocks add; rows, heads and the temperature, which all blocks share, go on learning
    (`rows` holds the rows); the number of blocks is bounded, for the stream is not.
    """

    name = "progressive"
    encoders = EVERY
    parameter_type: ClassVar = Parameters

    def __init__(self, parameters: Parameters, updates: int = 0, *, grown: bool = False) -> None:
        self.parameters = parameters
        self.updates = updates
        self._grown = grown

    @classmethod
    def initial(cls, config: LearningConfig) -> Self:
        return cls(cls.chosen(config))

    def resized(self, net: Recommender, seed: int) -> Recommender:
        blocks, wanted = net.blocks.of(self.name), self.parameters
        if not self.updates or self.updates % wanted.every or len(blocks) >= wanted.most:
            return net
        units = (*blocks, range(wanted.width))
        return net.with_blocks(net.blocks.having(self.name, units), seed)

    def begun(self, start: Start) -> Self:
        grown = any(name.startswith(f"{self.name}.") for name, _ in start.after.shapes)
        return type(self)(self.parameters, self.updates, grown=grown)

    def frozen(self) -> frozenset[str]:
        rows = self._grown and not self.parameters.rows
        return frozenset({"items", "users"}) if rows else frozenset()

    def held(self, net: Recommender) -> Tensor | None:
        if not (blocks := len(net.blocks.of(self.name))):
            return None
        older = [net.blocks.names(self.name, number) for number in range(blocks - 1)]
        names = {*net.base_names, *(name for each in older for name in each)}
        return net.layout.among(names, net.dense.device)
