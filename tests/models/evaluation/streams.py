"""Small streams whose right answers are known by construction."""

from __future__ import annotations

from models.evaluation.stream import Columns, Stream

Line = tuple[str, str, int] | tuple[str, str, int, int]
"""user, item, second, and the period where the stream has its own."""


def stream_of(
    lines: list[Line],
    *,
    num_periods: int | None = None,
    baskets: str = "set",
    micro_windows: int = 1,
) -> Stream:
    columns = Columns([], [], [], [], [], [])
    for line in lines:
        columns.append(
            line[0], line[1], time_ms=line[2] * 1000, period=line[3] if len(line) > 3 else None
        )
    return Stream(columns, num_periods=num_periods, baskets=baskets, micro_windows=micro_windows)


def cycles(
    *, users: int, steps: int, items: int = 12, flip: bool = False, micro_windows: int = 1
) -> Stream:
    """Every user walks round the items one by one; with `flip` backwards from half-way on."""
    lines: list[Line] = []
    for step in range(steps):
        for user in range(users):
            back = flip and step >= steps * 0.6
            place = (user + (-step if back else step)) % items
            lines.append((f"u{user}", f"i{place}", step * users + user))
    return stream_of(lines, num_periods=4, micro_windows=micro_windows)
