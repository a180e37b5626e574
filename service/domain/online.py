"""What becomes of answers once they are given: what was shown, and what was heard of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Counts = Mapping[str, float]
"""Numbers by field: of answers by name alone, of items by name and source, as `positive:model`."""

SEEN, POSITIVE, CONVERTED, SKIPPED = 1, 2, 4, 8
_COUNTED = {POSITIVE: "positive", CONVERTED: "conversions", SKIPPED: "skips"}
_OF_ANSWERS = {POSITIVE: "clicked", CONVERTED: "converted"}


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer as it is kept: the version, the items in their order, and each one's source."""

    version: int
    items: tuple[str, ...]
    sources: tuple[str, ...]

    def counts(self, bits: Sequence[float] | None) -> dict[str, float]:
        """What it adds when it is given; all of it counts as seen until somebody says otherwise.

        Args:
            bits: self-information of each item; None where nobody knows.
        """
        found: dict[str, float] = defaultdict(float, answers=1)
        for source in self.sources:
            found[f"shown:{source}"] += 1
            found[f"impressions:{source}"] += 1
        for source, number in zip(self.sources, bits or (), strict=bits is not None):
            found[f"rated:{source}"] += 1
            found[f"bits:{source}"] += number
        return found


@dataclass(slots=True)
class Heard:
    """What has been heard of one answer. Each item counts once as each of the things it can be.

    An answer counts as seen whole, until an impression tells which of its items were; from then on
    it counts as those, and those that were acted on.
    """

    shown: Shown
    told: bool = False
    """Whether an impression has said what was seen."""
    marks: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.marks = self.marks or [0] * len(self.shown.items)

    @classmethod
    def unpack(cls, shown: Shown, text: str | None) -> Heard:
        """From what `pack` made of it; None: nothing has been heard."""
        if text is None:
            return cls(shown)
        return cls(shown, text[0] == "1", [int(mark, 16) for mark in text[1:]])

    @property
    def seen(self) -> frozenset[str] | None:
        """The items that were seen, as impressions have told; None while none has."""
        if not self.told:
            return None
        return frozenset(
            item for item, mark in zip(self.shown.items, self.marks, strict=True) if mark & SEEN
        )

    def pack(self) -> str:
        return f"{self.told:d}" + "".join(f"{mark:x}" for mark in self.marks)

    def hear(self, item_id: str, what: int, *, impression: bool) -> dict[str, float] | None:
        """Take one event in.

        Args:
            what: of `POSITIVE`, `CONVERTED` and `SKIPPED`, those that the event is.
            impression: whether it says that the item was seen, and with that what was not.

        Returns:
            What it adds to the counts; None when the answer did not hold the item.
        """
        if item_id not in self.shown.items:
            return None
        place = self.shown.items.index(item_id)
        found: dict[str, float] = defaultdict(float)
        if impression and not self.told:
            self.told = True
            for source, mark in zip(self.shown.sources, self.marks, strict=True):
                found[f"impressions:{source}"] -= not mark
        source, fresh = self.shown.sources[place], (what | SEEN) & ~self.marks[place]
        if fresh & SEEN and self.told:
            found[f"impressions:{source}"] += 1
        for kind, name in _COUNTED.items():
            if fresh & kind:
                found[f"{name}:{source}"] += 1
                if kind in _OF_ANSWERS and not any(mark & kind for mark in self.marks):
                    found[_OF_ANSWERS[kind]] += 1
        self.marks[place] |= fresh
        return found
