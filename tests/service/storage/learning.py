"""A learner in miniature: windows of ten milliseconds, learned by their registration alone."""

from __future__ import annotations

from service.domain.interactions import Position
from service.domain.versions import (
    Head,
    Origin,
    VersionRecord,
    VersionStatus,
    WindowRecord,
    WindowStatus,
)
from service.storage.registry import Registry


def open_next(registry: Registry, head: Head) -> WindowRecord:
    end = Position(head.position.ms + 10, 0)
    return registry.open_window(
        head, start=head.position, end=end, seed=7, draw_digest="d" * 64, events=3
    )


def publish(registry: Registry, head: Head, window: WindowRecord) -> VersionRecord:
    return registry.publish(
        head,
        [window.window_id],
        version=registry.next_version(),
        origin=Origin.INCREMENTAL,
        position=window.end,
        digest="a" * 64,
        strategy={"methods": ["ewc"]},
        metrics={"recall@20": 0.5},
        gate={"verdict": "accepted"},
    )


def learn(registry: Registry) -> VersionRecord:
    """One window from the log into a published version."""
    head = registry.head()
    return publish(registry, head, open_next(registry, head))


def statuses(registry: Registry) -> dict[int, VersionStatus]:
    return {record.version: record.status for record in registry.versions()}


def windows(registry: Registry) -> dict[int, WindowStatus]:
    return {record.window_id: record.status for record in registry.windows()}
