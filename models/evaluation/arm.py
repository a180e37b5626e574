"""The one protocol behind which every method stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field

from models.config import LearningConfig
from models.content.features import Content
from models.evaluation.questions import Questions
from models.evaluation.scores import Scores
from models.evaluation.stream import Slice
from models.memory.config import MemoryConfig
from models.sources import SOURCES


@dataclass(frozen=True, slots=True)
class ArmSetup:
    """What an arm is built from."""

    config: LearningConfig = field(default_factory=LearningConfig)
    seed: int = 0
    device: str = "cpu"
    window: int | None = None
    """Events in one update of a learning arm; all that it is given when None."""
    weights_windows: int | None = None
    """How often `Arm.update` is called in a period; after each micro-window when None."""
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    """Bounds and half-lives of the fast memory."""
    sources: tuple[str, ...] = tuple(SOURCES)
    """Those that the mixer hears beside the network."""
    progress: Callable[[float], None] | None = None
    """Told the share of a fit or an update that is done."""
    bases: dict[Hashable, object] = field(default_factory=dict)
    """Where arms that start from the same fit leave it for each other."""
    contents: Mapping[str, Content] = field(default_factory=dict)
    """What items say of themselves, by id, where that is known."""


class Arm(ABC):
    """A method under comparison: it learns the base, then answers and learns by turns.

    An arm speaks in the stream's rows. Rows are given in the order of first appearance, so an arm
    that has learned up to some event covers the first `num_items` rows and no others.

    A period comes in one piece, or in micro-windows: each is asked, then observed, and every so
    many of them are an update. What is counted in passing belongs into `observe`, what takes a
    while into `update`; a plain learner has the second alone. Arms to whom an update means "a
    period" take it for what they are given: with several updates in a period it is so much less.
    """

    @abstractmethod
    def fit(self, base: Slice) -> None:
        """Learn the base, before anything is asked."""

    def observe(self, stretch: Slice) -> None:  # noqa: B027 - most arms have nothing to do here
        """Take note of a micro-window that has just been answered for, before any update."""

    @abstractmethod
    def update(self, period: Slice) -> None:
        """Learn a period, or its latest micro-windows, answered for and observed before."""

    @abstractmethod
    def scores(self, questions: Questions) -> Scores:
        """Answer, knowing the users' histories and having learned only what was given before."""

    def costs(self) -> Mapping[str, float]:
        """What it took besides seconds, by name, with the unit in the name."""
        return {}


@dataclass(frozen=True, slots=True)
class ArmKind:
    """An entry of the register."""

    name: str
    summary: str
    """One line for the reader of the table."""
    make: Callable[[ArmSetup], Arm]
    reads_items: bool = False
    """Whether it needs the contents of items."""
