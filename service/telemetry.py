"""Metrics of an api replica, for Prometheus; each name is listed in the operations guide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from service.online import OnlineMetrics

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The metrics of one replica, in a registry of their own, so that two never mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._make_request_metrics()
        self._make_serving_metrics()
        self._make_store_metrics()
        self._make_learner_metrics()
        self.online = OnlineMetrics()
        self.registry.register(self.online)
        self._make_memory_metrics()

    def _make_request_metrics(self) -> None:
        to = self.registry
        self.requests = Counter(
            "freshet_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=to,
        )
        self.request_seconds = Histogram(
            "freshet_request_seconds",
            "Time from the first byte of a request to the last of its answer.",
            ["method", "route"],
            buckets=_SECONDS,
            registry=to,
        )
        self.events_accepted = Counter(
            "freshet_events_accepted", "Events that the log has taken.", registry=to
        )
        self.events_refused = Counter(
            "freshet_events_refused",
            "Batches of events refused, by reason.",
            ["reason"],
            registry=to,
        )

    def _make_serving_metrics(self) -> None:
        to = self.registry
        self.recommendations = Counter(
            "freshet_recommendations", "Answers, by what they rest on.", ["source"], registry=to
        )
        self.recommended_items = Counter(
            "freshet_recommended_items",
            "Items in answers, by where they come from.",
            ["source"],
            registry=to,
        )
        self.degraded = Counter(
            "freshet_degraded_answers",
            "Answers that had to do without something.",
            ["without"],
            registry=to,
        )
        self.overloaded = Counter(
            "freshet_overloaded_requests",
            "Requests not begun because too many answers were waiting.",
            registry=to,
        )
        self.online_dropped = Counter(
            "freshet_online_dropped_answers",
            "Answers that were not kept to be measured: too much waited, or no secret was there.",
            registry=to,
        )
        self.ranking_batch = Histogram(
            "freshet_ranking_batch_size",
            "Answers made together.",
            buckets=_SIZES,
            registry=to,
        )
        self.ranking_seconds = Histogram(
            "freshet_ranking_seconds",
            "Time to make one batch of answers.",
            buckets=_SECONDS,
            registry=to,
        )
        self.content_items = Gauge(
            "freshet_content_items", "Items whose text a replica has features of.", registry=to
        )
        self.content_r2 = Gauge(
            "freshet_content_r2",
            "How well text foretells the item vectors of the version, 0 to 1; 0 where not at all.",
            registry=to,
        )
        self.content_fit_seconds = Histogram(
            "freshet_content_fit_seconds",
            "Time to learn from a version what texts foretell.",
            buckets=_SECONDS,
            registry=to,
        )
        self.model_version = Gauge(
            "freshet_model_version", "The model version being served.", registry=to
        )
        self.model_learned_until = Gauge(
            "freshet_model_learned_until_timestamp_seconds",
            "Arrival time of the last log entry that the served version has passed.",
            registry=to,
        )
        self.model_loads = Counter(
            "freshet_model_loads", "Attempts to take a version.", ["outcome"], registry=to
        )
        self.model_load_seconds = Histogram(
            "freshet_model_load_seconds",
            "Time to load, verify and warm up a version.",
            buckets=(0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0),
            registry=to,
        )

    def _make_store_metrics(self) -> None:
        to = self.registry
        self.catalogue_revision = Gauge(
            "freshet_catalogue_revision", "Revision of the catalogue being served.", registry=to
        )
        self.log_entries = Gauge("freshet_log_entries", "Entries in the event log.", registry=to)
        self.log_lag_events = Gauge(
            "freshet_log_lag_events",
            "Events in the log that the registry's head has not passed.",
            registry=to,
        )
        self.replay_bytes = Gauge(
            "freshet_replay_buffer_bytes",
            "Memory of the replay buffer, as the log's server estimates it.",
            registry=to,
        )
        self.store_up = Gauge(
            "freshet_store_up", "1 while a store answers.", ["store"], registry=to
        )

    def _make_learner_metrics(self) -> None:
        """What the learner says of itself; every replica shows the same."""
        to = self.registry
        self.learner_up = Gauge(
            "freshet_learner_up", "1 while a learner's heartbeat is heard.", registry=to
        )
        self.learner_halted = Gauge(
            "freshet_learner_halted", "1 while the learner refuses to learn.", registry=to
        )
        self.learner_lag_events = Gauge(
            "freshet_learner_lag_events", "Events not learned, as the learner says.", registry=to
        )
        self.learner_update_seconds = Gauge(
            "freshet_learner_update_seconds", "Time that the last update took.", registry=to
        )
        self.learner_positions_per_s = Gauge(
            "freshet_learner_positions_per_second", "Speed of the last update.", registry=to
        )
        self.learner_windows = Gauge(
            "freshet_learner_windows",
            "Windows since the learner's start, by the gate's verdict.",
            ["verdict"],
            registry=to,
        )

        self.learner_drift_alarms = Gauge(
            "freshet_learner_drift_alarms",
            "Alarms of the drift detector since the learner's start.",
            registry=to,
        )

    def _make_memory_metrics(self) -> None:
        """What the process of the fast memory says of itself, and this replica's mirror of it."""
        to = self.registry
        self.memory_up = Gauge(
            "freshet_memory_up", "1 while the fast memory's heartbeat is heard.", registry=to
        )
        self.memory_lag_events = Gauge(
            "freshet_memory_lag_events", "Events not remembered, as it says.", registry=to
        )
        self.memory_items = Gauge("freshet_memory_items", "Items it knows.", registry=to)
        self.memory_sessions = Gauge(
            "freshet_memory_sessions", "Users whose latest events it keeps.", registry=to
        )
        self.memory_bytes = Gauge(
            "freshet_memory_bytes",
            "What it takes on the log's server, as that estimates it.",
            registry=to,
        )
        self.memory_mirror_age = Gauge(
            "freshet_memory_mirror_age_seconds",
            "Since this replica was last level with it.",
            registry=to,
        )

    def show_memory(self, said: Mapping[str, Any] | None, age_s: float | None) -> None:
        """Take over what the fast memory's document says (None when none is heard), and how old
        the replica's mirror is (None before the first)."""
        self.memory_up.set(bool(said))
        said = said or {}
        for gauge, value in (
            (self.memory_lag_events, said.get("lag_events")),
            (self.memory_items, said.get("items")),
            (self.memory_sessions, said.get("sessions")),
            (self.memory_bytes, said.get("bytes")),
            (self.memory_mirror_age, age_s),
        ):
            gauge.set(float("nan") if value is None else value)

    def show_learner(self, said: Mapping[str, Any] | None) -> None:
        """Take over what the learner's status document says; None when none is heard."""
        said = said or {}
        last = said.get("last_update") or {}
        self.learner_up.set(bool(said))
        self.learner_halted.set(said.get("state") == "halted")
        for gauge, value in (
            (self.learner_lag_events, said.get("lag_events")),
            (self.learner_update_seconds, last.get("update_s")),
            (self.learner_positions_per_s, last.get("positions_per_s")),
            (self.learner_drift_alarms, said.get("drift_alarms")),
        ):
            gauge.set(float("nan") if value is None else value)
        for verdict, count in (said.get("verdicts") or {}).items():
            self.learner_windows.labels(verdict).set(count)

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
