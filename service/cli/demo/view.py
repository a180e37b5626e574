"""The demo's picture: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from service.cli.demo.feeder import Feeder
from service.cli.demo.guest import GUEST, Guest, Visit
from service.cli.demo.observer import Observation, Observer

_BARS: Final = "▁▂▃▄▅▆▇█"
_SHOWN: Final = 5


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


def panel(scene: Scene) -> Panel:
    """The whole picture."""
    parts = Group(_numbers(scene), Text(), _guest(scene.visit), Text(), _commands(scene))
    return Panel(parts, title=f"freshet learns from {scene.source}", subtitle="Ctrl-C ends it")


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


def _numbers(scene: Scene) -> Table:
    seen, last = scene.seen, _latest(scene.seen)
    of = "" if scene.total is None else f" of {scene.total:,}"
    lag = "" if seen.lag_events is None else f", {seen.lag_events:,} events not learned yet"
    table = Table.grid(padding=(0, 2))
    table.add_row(
        "events accepted",
        f"[bold]{scene.next_number:,}[/]{of}",
        f"{scene.events_per_s:,.0f} events/s"
        + (f", {scene.started_at:,} of them before" if scene.started_at else ""),
    )
    table.add_row("model version", f"[bold]{seen.version}[/]", f"{_verdicts(seen)}{lag}")
    table.add_row(
        "recall@20, fresh events",
        f"[bold green]{last[0]}[/]",
        f"{_curve([one.fresh for one in seen.lessons])}  before they are learned; "
        f"popularity {last[1]}",
    )
    table.add_row(
        "recall@20, old periods",
        f"[bold green]{last[2]}[/]",
        f"{_curve([one.old for one in seen.lessons])}  users it never trains on: what it remembers",
    )
    table.add_row("training", f"[bold]{last[3]}[/]", "target positions/s, EWC and replay on")
    if scene.trouble:
        table.add_row("[yellow]waiting[/]", "", f"[yellow]{scene.trouble}[/]")
    return table


def _guest(visit: Visit | None) -> Table:
    table = Table.grid(padding=(0, 2))
    if visit is None:
        table.add_row(f"{GUEST} waits for the first events")
        return table
    old = set(visit.before)
    after = [f"[bold]{item}[/]" if item not in old else item for item in visit.after[:_SHOWN]]
    table.add_row(f"{GUEST} is shown", "  ".join(visit.before[:_SHOWN]))
    table.add_row("clicks", "  ".join(visit.clicked))
    table.add_row(
        "is shown next",
        "  ".join(after),
        f"({visit.answer_ms:.0f} ms later, {visit.source}, version {visit.version})",
    )
    return table


def _commands(scene: Scene) -> Text:
    return Text("\n".join(commands(scene.url)), style="dim", no_wrap=True, overflow="ignore")


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


def _verdicts(seen: Observation) -> str:
    refused = sum(one.status == "rejected" for one in seen.lessons)
    if not seen.lessons:
        return "waits for its first window"
    last = seen.lessons[-1]
    return f"the gate on {last.version}: {last.verdict or 'no verdict'}; {refused} refused lately"


def _curve(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    return "".join(_BARS[round((value - low) / span * (len(_BARS) - 1))] for value in known)
