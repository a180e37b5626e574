"""What a benchmark hands back."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    `ratio` is the number over its reference, which was measured in the same run and is named by
    `reference`; None for the reference itself and for figures that have none.
    """

    name: str
    value: float
    unit: str
    ratio: float | None = None
    reference: str = ""

    def __str__(self) -> str:
        ratio = "" if self.ratio is None else f"{self.ratio:8.2f} × {self.reference}"
        return f"{self.name:<44} {self.value:>14,.4g} {self.unit:<14}{ratio}".rstrip()
