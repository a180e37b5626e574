"""Which checkpoints stay: the last few, and by age."""

from __future__ import annotations

from itertools import pairwise

from service.domain.interactions import START
from service.domain.versions import Origin, VersionRecord, VersionStatus
from service.learner.keeping import worth_keeping
from service.sections import LearnerSettings
from service.storage.clock import DAY_MS, HOUR_MS

NOW_MS = 1_800_000_000_000 // DAY_MS * DAY_MS + 12 * HOUR_MS + 1
MINUTE_MS = 60_000


def published(version: int, age_ms: int, **fields: object) -> VersionRecord:
    at_ms = NOW_MS - age_ms
    made = {"status": VersionStatus.RETIRED, "activated_ms": at_ms, **fields}
    return VersionRecord(
        version,
        version - 1,
        origin=Origin.INCREMENTAL,
        position=START,
        digest="",
        created_ms=at_ms,
        **made,  # type: ignore[arg-type]
    )


def test_after_a_week_of_a_version_a_minute_one_can_go_back_to_yesterday() -> None:
    """Pruned after every version, as the learner does it: what is kept then is still there."""
    kept: list[VersionRecord] = []
    settings, minutes = LearnerSettings(), 10 * 24 * 60
    for minute in range(minutes):
        kept.append(published(minute + 2, (minutes - 1 - minute) * MINUTE_MS))
        if minute % 7 == 0 or minute > minutes - 10:
            now_ms = kept[-1].created_ms
            worth = worth_keeping(kept, now_ms, settings)
            kept = [record for record in kept if record.version in worth]
    ages_ms = sorted(NOW_MS - record.created_ms for record in kept)
    assert ages_ms[:5] == [minute * MINUTE_MS for minute in range(5)]
    day = [age_ms for age_ms in ages_ms if age_ms < DAY_MS]
    assert all(later - sooner <= HOUR_MS for sooner, later in pairwise(day))
    assert ages_ms[-1] > 6 * DAY_MS
    assert max(b - a for a, b in pairwise(ages_ms)) <= DAY_MS
    assert len(kept) <= 5 + 25 + 8


def test_what_was_rejected_takes_no_room() -> None:
    settings = LearnerSettings(keep_versions=1)
    refused = published(9, 0, status=VersionStatus.REJECTED, activated_ms=None)
    waiting = published(8, 1, status=VersionStatus.CANDIDATE, activated_ms=None)
    assert worth_keeping([refused, waiting, published(7, 2)], NOW_MS, settings) == {7, 8}
    sparse = LearnerSettings(keep_versions=1, keep_hours=0, keep_days=0)
    assert worth_keeping([refused, waiting, published(7, 2)], NOW_MS, sparse) == {7}
