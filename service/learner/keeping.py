"""Which versions keep their checkpoints, so that one can go back to them.

The last few that were served, and by age, ever more sparsely: of each of the last hours and of each
of the last days the latest version. So what was learned in a bad night can be undone in the
morning, however many versions the night has brought.
"""

from __future__ import annotations

from collections.abc import Sequence

from service.domain.versions import VersionRecord, VersionStatus
from service.sections import LearnerSettings
from service.storage.clock import DAY_MS, HOUR_MS


def worth_keeping(
    records: Sequence[VersionRecord], now_ms: int, settings: LearnerSettings
) -> set[int]:
    """The versions among `records` whose checkpoints stay.

    What is served now, the tip and the champion are the caller's to add.

    Args:
        records: versions that have a checkpoint.
        now_ms: Unix milliseconds.
    """
    activated = [record for record in records if record.activated_ms is not None]
    activated.sort(key=lambda record: (record.activated_ms or 0, record.version), reverse=True)
    kept = {record.version for record in activated[: settings.keep_versions]}
    kept |= _latest_of_each(records, HOUR_MS, now_ms - settings.keep_hours * HOUR_MS)
    return kept | _latest_of_each(records, DAY_MS, now_ms - settings.keep_days * DAY_MS)


def _latest_of_each(records: Sequence[VersionRecord], length_ms: int, since_ms: int) -> set[int]:
    """The latest version of each stretch of so many milliseconds, by the clock."""
    latest: dict[int, int] = {}
    for record in records:
        if record.status is not VersionStatus.REJECTED and record.created_ms > since_ms:
            stretch = record.created_ms // length_ms
            latest[stretch] = max(latest.get(stretch, 0), record.version)
    return set(latest.values())
