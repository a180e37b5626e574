"""What became of answers, in rates: for status, and as metrics for Prometheus.

The store counts; here counts become rates, in one place, so that status and metrics say the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service.domain.online import Counts
from service.sections import OnlineSettings
from service.storage.online import Figures

EVERY = "all"
"""The label of all versions there ever were, and of all sources."""

_OF_ANSWERS = ("answers", "clicked", "converted")
_OF_ITEMS = ("shown", "impressions", "positive", "conversions", "skips")
_RATES = ("click_through", "conversion")

_FAMILIES = {
    "answers": "Answers given.",
    "click_through": "Share of the answers of which an item had a positive event.",
    "conversion": "Share of the answers of which an item was converted.",
    "impressions": "Items seen: as impressions told, else as shown.",
    "positive_items": "Items of answers that had a positive event.",
    "converted_items": "Items of answers that were converted.",
    "skipped_items": "Items of answers that were skipped.",
    "coverage": "Share of the items there are that were recommended.",
    "novelty_bits": "Mean self-information of the items recommended.",
}
_ITEM_FAMILIES = {
    "impressions": "impressions",
    "positive": "positive_items",
    "conversions": "converted_items",
    "skips": "skipped_items",
    "coverage": "coverage",
    "novelty_bits": "novelty_bits",
}


def report(counts: Counts, distinct: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Counts and rates of a version, or of all; those of each source under `sources`.

    Args:
        counts: as `service.domain.online` names them.
        distinct: distinct items by source, `""` for all; None where they are not counted.
    """
    names = sorted(field.partition(":")[2] for field in counts if field.startswith("shown:"))
    found: dict[str, Any] = {name: int(counts.get(name, 0)) for name in _OF_ANSWERS}
    sums = {
        field: sum(counts.get(f"{field}:{name}", 0.0) for name in names)
        for field in (*_OF_ITEMS, "bits", "rated")
    }
    known = counts.get("known", 0.0)
    found |= {name: int(sums[name]) for name in _OF_ITEMS}
    found["click_through"] = _share(found["clicked"], found["answers"])
    found["conversion"] = _share(found["converted"], found["answers"])
    found["coverage"] = None if distinct is None else _share(distinct.get("", 0), known)
    found["novelty_bits"] = _mean(sums["bits"], sums["rated"])
    found["sources"] = {name: _of_source(counts, name, known, distinct) for name in names}
    return found


def _of_source(
    counts: Counts, name: str, known: float, distinct: Mapping[str, int] | None
) -> dict[str, Any]:
    found: dict[str, Any] = {field: int(counts.get(f"{field}:{name}", 0)) for field in _OF_ITEMS}
    return found | {
        "click_through": _share(found["positive"], found["impressions"]),
        "conversion": _share(found["conversions"], found["impressions"]),
        "coverage": None if distinct is None else _share(distinct.get(name, 0), known),
        "novelty_bits": _mean(counts.get(f"bits:{name}", 0.0), counts.get(f"rated:{name}", 0.0)),
    }


def _share(part: float, whole: float) -> float | None:
    """At most 1: distinct items are estimated, and some are in neither catalogue nor model yet."""
    return min(part / whole, 1.0) if whole > 0 else None


def _mean(total: float, number: float) -> float | None:
    return total / number if number else None


def reported(figures: Figures, settings: OnlineSettings) -> dict[str, Any]:
    """All of it as JSON values: what is kept, what was joined, and `report` of each version."""
    outcome = "events:"
    return {
        "kept": figures.kept,
        "capacity": settings.answers,
        "bytes": figures.bytes,
        "events": {
            name.removeprefix(outcome): int(number)
            for name, number in sorted(figures.total.items())
            if name.startswith(outcome)
        },
        "total": report(figures.total),
        "versions": [
            {"version": version, **report(counts, figures.distinct.get(version, {}))}
            for version, counts in figures.versions.items()
        ],
    }


class OnlineMetrics(Collector):
    """The figures last shown, whole, as metrics: a version that has gone leaves no series."""

    def __init__(self) -> None:
        self._shown: Mapping[str, Any] = {}

    def show(self, figures: Mapping[str, Any] | None) -> None:
        """Take over what status says under `online`; None when nothing is measured."""
        self._shown = figures or {}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All families, also those without a series yet."""
        shown = self._shown
        by_version = {
            name: GaugeMetricFamily(
                f"freshet_online_{name}",
                says,
                labels=["version"] if name in ("answers", *_RATES) else ["version", "source"],
            )
            for name, says in _FAMILIES.items()
        }
        for one in [*shown.get("versions", ()), *filter(None, [shown.get("total")])]:
            _add(by_version, str(one.get("version", EVERY)), one)
        yield from by_version.values()
        kept = GaugeMetricFamily("freshet_online_kept_answers", "Answers kept to be joined.")
        events = GaugeMetricFamily(
            "freshet_online_events",
            "Events that named an answer, joined with it or why not.",
            labels=["outcome"],
        )
        if shown:
            kept.add_metric([], shown["kept"])
        for outcome, number in shown.get("events", {}).items():
            events.add_metric([outcome], number)
        yield from (kept, events)


def _add(families: Mapping[str, GaugeMetricFamily], version: str, one: Mapping[str, Any]) -> None:
    for name in ("answers", *_RATES):
        if one[name] is not None:
            families[name].add_metric([version], one[name])
    for source, numbers in {EVERY: one, **one["sources"]}.items():
        for field, name in _ITEM_FAMILIES.items():
            if numbers[field] is not None:
                families[name].add_metric([version, source], numbers[field])
