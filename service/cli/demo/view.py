"""The demo's picture: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console, Group
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from service.cli.demo.feeder import Feeder
from service.cli.demo.guest import GUEST, Guest, Visit
from service.cli.demo.observer import Observation, Observer

_BARS: Final = "▁▂▃▄▅▆▇█"
_SHOWN: Final = 5
_WIDE: Final = 116
"""Columns from which on the picture has room for whole sentences."""
_FRAME: Final = 2
_SHORT_CURVE: Final = 12


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a picture is made of."""

    url: str
    source: str
    total: int | None
    started_at: int
    next_number: int
    accepted: int
    events_per_s: float
    trouble: str | None
    seen: Observation
    visit: Visit | None


class Stage:
    """Makes scenes out of what the threads of the demo know."""

    def __init__(
        self,
        url: str,
        source: str,
        total: int | None,
        feeder: Feeder,
        observer: Observer,
        guest: Guest,
    ) -> None:
        self._url, self._source, self._total = url, source, total
        self._feeder, self._observer, self._guest = feeder, observer, guest
        self._pace: list[tuple[float, int]] = [(time.monotonic(), 0)]

    def scene(self) -> Scene:
        feeder = self._feeder
        accepted = feeder.accepted
        self._pace = [*self._pace[-20:], (time.monotonic(), accepted)]
        (then_s, then), (now_s, now) = self._pace[0], self._pace[-1]
        return Scene(
            self._url,
            self._source,
            self._total,
            feeder.start_number,
            feeder.next_number,
            accepted,
            (now - then) / max(now_s - then_s, 1e-6),
            feeder.trouble or self._observer.latest.error,
            self._observer.latest,
            self._guest.visit,
        )


def panel(scene: Scene, width: int, height: int) -> Panel:
    """The whole picture, as much of it as a terminal of `width` by `height` has room for.

    The numbers, the guest, the address of the documentation and how to end it are always there;
    where rows are few, blank lines go first and then the commands.
    """
    wide = width >= _WIDE
    numbers, guest = _numbers(scene, wide=wide), _guest(scene.visit, wide=wide)
    tries = commands(scene.url)
    room = height - 1 - _FRAME - numbers.row_count - guest.row_count
    blank = [Text()] if room >= len(tries) + 2 else []
    shown = tries if room >= len(tries) else tries[-1:]
    parts = Group(numbers, *blank, guest, *blank, _dim(shown))
    title = f"freshet learns from {scene.source}"
    return Panel(parts, title=_end_of(title, width - 8), subtitle="Ctrl-C ends it")


def line(scene: Scene) -> str:
    """The picture in one line, for a log."""
    seen, last = scene.seen, _latest(scene.seen)
    return (
        f"events {scene.accepted:,} ({scene.events_per_s:,.0f}/s)  model version {seen.version}  "
        f"recall on fresh events {last[0]} (popularity {last[1]})  on old periods {last[2]}  "
        f"training {last[3]} positions/s" + (f"  [{scene.trouble}]" if scene.trouble else "")
    )


def guest_line(visit: Visit) -> str:
    """What the guest saw, in one line."""
    return (
        f"{GUEST}: shown {' '.join(visit.before[:_SHOWN])}; clicked {' '.join(visit.clicked)}; "
        f"{visit.answer_ms:.0f} ms later shown {' '.join(visit.after[:_SHOWN])} "
        f"({visit.source}, version {visit.version})"
    )


def commands(url: str) -> list[str]:
    """What to try from another terminal."""
    return [
        f"curl '{url}/v1/users/{GUEST}/recommendations?limit=5'",
        f"curl '{url}/v1/items/trending?limit=5'",
        f"curl '{url}/v1/admin/models'",
        f"curl '{url}/v1/admin/status'",
        f"open {url}/docs",
    ]


def print_plain(console: Console, text: str) -> None:
    """A line as it is, unbroken."""
    console.print(text, soft_wrap=True, highlight=False, markup=False)


def _numbers(scene: Scene, *, wide: bool) -> Table:
    seen, last = scene.seen, _latest(scene.seen)
    table = _grid()
    table.add_row("events accepted", f"[bold]{scene.next_number:,}[/]", _stream(scene, wide=wide))
    table.add_row("model version", f"[bold]{seen.version}[/]", _verdicts(seen, wide=wide))
    table.add_row(
        "recall@20, fresh events",
        f"[bold green]{last[0]}[/]",
        _curve([one.fresh for one in seen.lessons], wide=wide)
        + ("before they are learned; " if wide else "")
        + f"popularity {last[1]}",
    )
    table.add_row(
        "recall@20, old periods",
        f"[bold green]{last[2]}[/]",
        _curve([one.old for one in seen.lessons], wide=wide)
        + ("users it never trains on: " if wide else "")
        + "what it remembers",
    )
    table.add_row("training", f"[bold]{last[3]}[/]", "target positions/s, EWC and replay on")
    if scene.trouble:
        table.add_row("[yellow]waiting[/]", "", f"[yellow]{escape(scene.trouble)}[/]")
    return table


def _stream(scene: Scene, *, wide: bool) -> str:
    parts = [] if scene.total is None else [f"of {scene.total:,}"]
    parts.append(f"{scene.events_per_s:,.0f} events/s")
    if wide and scene.started_at:
        parts.append(f"{scene.started_at:,} of them before")
    return ", ".join(parts)


def _guest(visit: Visit | None, *, wide: bool) -> Table:
    table = _grid()
    if visit is None:
        table.add_row(f"{GUEST} waits for the first events")
        return table
    shown, old = _SHOWN if wide else _SHOWN - 1, set(visit.before)
    before, clicked = map(escape, visit.before[:shown]), map(escape, visit.clicked)
    after = [escape(item) if item in old else _bold(item) for item in visit.after[:shown]]
    said = f"({visit.source}, version {visit.version})" if wide else ""
    table.add_row(f"{GUEST} is shown", "  ".join(before))
    table.add_row("clicks", "  ".join(clicked))
    table.add_row(f"{visit.answer_ms:.0f} ms later is shown", "  ".join(after), said)
    return table


def _grid() -> Table:
    """Rows of up to three cells, each on one line: what has no room is cut, not wrapped."""
    table = Table.grid(padding=(0, 2))
    for _ in range(3):
        table.add_column(no_wrap=True, overflow="ellipsis")
    return table


def _bold(item: str) -> str:
    return f"[bold]{escape(item)}[/]"


def _dim(lines: Sequence[str]) -> Text:
    return Text("\n".join(lines), style="dim", no_wrap=True, overflow="ellipsis")


def _end_of(text: str, width: int) -> Text:
    """The text, or the end of it: a file's own name says more than where it lies."""
    return Text(text if len(text) <= width else "…" + text[max(len(text) - width + 1, 0) :])


def _latest(seen: Observation) -> tuple[str, str, str, str]:
    """The last known figure of each kind, as text."""
    return (
        _last([one.fresh for one in seen.lessons]),
        _last([one.fresh_popularity for one in seen.lessons]),
        _last([one.old for one in seen.lessons]),
        _last([one.positions_per_s for one in seen.lessons], "{:,.0f}"),
    )


def _last(values: Sequence[float | None], form: str = "{:.3f}") -> str:
    known = [value for value in values if value is not None]
    return form.format(known[-1]) if known else "…"


def _verdicts(seen: Observation, *, wide: bool) -> str:
    lag = "" if seen.lag_events is None else f"; {seen.lag_events:,} events to learn"
    if not seen.lessons:
        return "waits for its first window" + lag
    last, refused = seen.lessons[-1], sum(one.status == "rejected" for one in seen.lessons)
    verdict = last.verdict or "no verdict"
    if not wide:
        return verdict + lag.replace(" events", "")
    return f"the gate on {last.version}: {verdict}; {refused} refused lately{lag}"


def _curve(values: Sequence[float | None], *, wide: bool) -> str:
    """The latest values as bars that stand on 0; the highest of them is said behind.

    A scale that began at the smallest value would make a collapse of every little dip.
    """
    known = [max(value, 0.0) for value in values if value is not None]
    known = known if wide else known[-_SHORT_CURVE:]
    if not known:
        return ""
    top = max(known)
    highest = len(_BARS) - 1
    bars = "".join(_BARS[round(value / (top or 1.0) * highest)] for value in known)
    return f"{bars} 0–{top:.2f}  "
