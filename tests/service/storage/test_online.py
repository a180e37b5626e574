"""Answers are kept and counted once, within their bounds; a stretch of the log is joined once."""

from __future__ import annotations

import pytest
import redis

from service.domain.interactions import Position
from service.domain.online import CONVERTED, POSITIVE, SKIPPED, Heard, Shown
from service.errors import Unavailable
from service.online import report
from service.sections import OnlineSettings
from service.storage import connections
from service.storage.clock import HOUR_MS
from service.storage.keys import Keys
from service.storage.online import Given, OnlineStore
from tests.conftest import free_port

NOW_MS = 1_800_000_000_000
SHOWN = Shown(7, ("a", "b", "c"), ("model", "model", "popular"))


def given(name: str, shown: Shown = SHOWN, time_ms: int = NOW_MS) -> Given:
    return Given(name, time_ms, shown, shown.counts([1.0, 2.0, 4.0][: len(shown.items)]))


def store(client: redis.Redis, keys: Keys, **bounds: float) -> OnlineStore:
    return OnlineStore(client, keys, OnlineSettings.model_validate(bounds))


def test_answers_are_counted_by_version_and_source(redis_client: redis.Redis, keys: Keys) -> None:
    online = store(redis_client, keys)
    other = Shown(8, ("a",), ("latest",))
    online.keep([given("1"), given("2"), given("3", other)], {7: 6, 8: 10}, NOW_MS)
    figures = online.figures()
    assert list(figures.versions) == [8, 7]
    assert figures.kept == 3
    assert figures.bytes > 100
    told = report(figures.versions[7], figures.distinct[7])
    assert (told["answers"], told["shown"], told["impressions"]) == (2, 6, 6)
    assert told["coverage"] == 0.5
    assert told["novelty_bits"] == pytest.approx(7 / 3)
    assert told["click_through"] == 0.0
    popular = told["sources"]["popular"]
    assert (popular["shown"], popular["novelty_bits"]) == (2, 4.0)
    assert popular["coverage"] == pytest.approx(1 / 6)
    assert report(figures.total)["answers"] == 3
    assert report(figures.total)["coverage"] is None


def test_a_batch_that_is_sent_again_counts_once(redis_client: redis.Redis, keys: Keys) -> None:
    online = store(redis_client, keys)
    online.keep([given("1")], {7: 6}, NOW_MS)
    before = online.figures()
    online.keep([given("1")], {7: 6}, NOW_MS)
    assert online.figures() == before


def test_answers_go_when_they_are_too_many_or_too_old(
    redis_client: redis.Redis, keys: Keys
) -> None:
    online = store(redis_client, keys, answers=3, hours=1.0)
    aged = [given(str(at), time_ms=NOW_MS + at) for at in range(2_005)]
    online.keep(aged, {}, NOW_MS)
    online.join(None, Position(1, 0), online.recall(["2004"]), {}, {})
    assert set(online.recall([str(at) for at in range(2_005)])) == {"2002", "2003", "2004"}
    online.keep([given("new", time_ms=NOW_MS + HOUR_MS + 2_010)], {}, NOW_MS + HOUR_MS + 2_010)
    assert set(online.recall(["2003", "2004", "new"])) == {"new"}
    assert redis_client.zcard(keys.online_order) == redis_client.hlen(keys.online_answers) == 1
    assert redis_client.hlen(keys.online_marks) == 0
    assert report(online.figures().total)["answers"] == 2_006


def test_versions_beyond_the_latest_lose_their_own_counts(
    redis_client: redis.Redis, keys: Keys
) -> None:
    online = store(redis_client, keys, versions=2)
    for at, version in enumerate((7, 8, 9, 7)):
        shown = Shown(version, ("a",), ("model",))
        online.keep([given(str(at), shown, NOW_MS + at)], {version: 1}, NOW_MS)
    assert list(online.figures().versions) == [7, 9]
    assert report(online.figures().total)["answers"] == 4
    left = {key.decode() for key in redis_client.scan_iter(f"{keys.prefix}:online:*")}
    assert keys.online_version(8) not in left
    assert keys.online_items(8, "model") not in left
    heard = online.recall(["1"])
    assert online.join(None, Position(1, 0), heard, {"clicked": 1}, {8: {"clicked": 1}})
    assert report(online.figures().total)["clicked"] == 1
    assert not redis_client.exists(keys.online_version(8))


def test_a_stretch_counts_for_whoever_comes_first(redis_client: redis.Redis, keys: Keys) -> None:
    online = store(redis_client, keys)
    online.keep([given("1")], {}, NOW_MS)
    assert online.position() is None
    first, second = Position(5, 0), Position(9, 2)
    counts = {"clicked": 1.0}
    assert online.join(None, first, {}, counts, {7: counts})
    assert not online.join(None, second, {}, counts, {7: counts})
    assert online.position() == first
    assert online.join(first, second, {}, counts, {})
    assert online.figures().total["clicked"] == 2
    assert online.figures().versions[7]["clicked"] == 1


def test_marks_of_an_answer_that_has_gone_are_not_kept(
    redis_client: redis.Redis, keys: Keys
) -> None:
    assert store(redis_client, keys).join(None, Position(1, 0), {"gone": Heard(SHOWN)}, {}, {})
    assert redis_client.hlen(keys.online_marks) == 0


def test_what_was_heard_comes_back(redis_client: redis.Redis, keys: Keys) -> None:
    online = store(redis_client, keys)
    online.keep([given("1")], {}, NOW_MS)
    heard = online.recall(["1", "never"])
    assert list(heard) == ["1"]
    assert heard["1"].hear("b", POSITIVE, impression=False) == {"positive:model": 1, "clicked": 1}
    online.join(None, Position(1, 0), heard, {}, {})
    again = online.recall(["1"])["1"]
    assert again == heard["1"]
    assert again.hear("b", POSITIVE, impression=False) == {}


def test_an_answer_counts_each_item_once_as_each_thing() -> None:
    heard = Heard(SHOWN)
    assert heard.hear("z", POSITIVE, impression=False) is None
    assert heard.hear("a", POSITIVE, impression=False) == {"positive:model": 1, "clicked": 1}
    assert heard.hear("c", POSITIVE | CONVERTED, impression=False) == {
        "positive:popular": 1,
        "conversions:popular": 1,
        "converted": 1,
    }
    assert heard.hear("c", POSITIVE | CONVERTED, impression=False) == {}
    assert heard.hear("b", SKIPPED, impression=False) == {"skips:model": 1}


def test_impressions_take_back_what_nobody_saw() -> None:
    heard = Heard(SHOWN)
    heard.hear("a", POSITIVE, impression=False)
    assert heard.hear("b", 0, impression=True) == {
        "impressions:model": 0,
        "impressions:popular": -1,
    }
    assert heard.hear("b", 0, impression=True) == {}
    assert heard.hear("c", POSITIVE, impression=False) == {
        "impressions:popular": 1,
        "positive:popular": 1,
    }


def test_a_server_that_is_away_is_said(keys: Keys) -> None:
    with connections.connect(f"redis://127.0.0.1:{free_port()}", timeout_s=0.2) as client:
        online = store(client, keys)
        for ask in (
            online.position,
            online.figures,
            lambda: online.recall(["1"]),
            lambda: online.keep([given("1")], {}, NOW_MS),
        ):
            with pytest.raises(Unavailable):
                ask()
