"""The replay buffer: a uniform sample, whatever the order, kept by the lowest keys."""

from __future__ import annotations

import random
from dataclasses import astuple, replace

import msgspec
import numpy as np
import pytest
import redis
from scipy.stats import chisquare

from models.continual.buffer import BottomK
from models.interactions import Sample
from service.errors import CorruptEntry, Unavailable
from service.storage import samples as packing
from service.storage.connections import connect
from service.storage.hashing import event_key, repeat_hash, user_key
from service.storage.keys import Keys
from service.storage.replay import ReplayBuffer
from tests.conftest import free_port

SECRET = b"s" * 32


def sample(n: int, key: int | None = None) -> Sample:
    return Sample(
        user_id=f"u{n}",
        item_ids=("a", "ü/∞", f"i{n}"),
        num_targets=2,
        types=("click", "cart"),
        weights=(1.0, 3.0),
        key=event_key(SECRET, f"u{n}", str(n)) if key is None else key,
        time_ms=n,
    )


@pytest.fixture
def buffer(redis_client: redis.Redis, keys: Keys) -> ReplayBuffer:
    return ReplayBuffer(redis_client, keys, size=20)


def test_samples_come_back_as_they_were(buffer: ReplayBuffer) -> None:
    extremes = [sample(n, key) for n, key in enumerate((0, 1, 2**63, 2**64 - 1))]
    buffer.admit(extremes[::-1], window_id=1)
    assert buffer.samples() == extremes


def test_the_lowest_keys_stay_whatever_the_order(
    redis_client: redis.Redis, keys: Keys, buffer: ReplayBuffer
) -> None:
    offered = [sample(n) for n in range(100)]
    lowest = sorted(offered, key=lambda one: one.key)[:20]
    buffer.admit(offered, window_id=1)
    assert buffer.samples() == lowest
    other = ReplayBuffer(redis_client, Keys(keys.namespace + "-other"), size=20)
    random.Random(1).shuffle(offered)
    for at in range(0, 100, 7):
        other.admit(offered[at : at + 7], window_id=at)
        other.admit(offered[: at + 7], window_id=at)
    assert other.samples() == lowest
    assert len(other) == 20


def test_buffers_merge(redis_client: redis.Redis, keys: Keys, buffer: ReplayBuffer) -> None:
    offered = [sample(n) for n in range(100)]
    other = ReplayBuffer(redis_client, Keys(keys.namespace, shard=1), size=20)
    buffer.admit(offered[:60], window_id=1)
    other.admit(offered[40:], window_id=2)
    buffer.admit(other.samples(), window_id=2)
    assert buffer.samples() == sorted(offered, key=lambda one: one.key)[:20]


def test_the_buffer_and_the_one_in_memory_draw_alike(buffer: ReplayBuffer) -> None:
    """One contract: the same samples and seed give the same draw, in the same order."""
    memory = BottomK(20)
    for offered, window in (([sample(n) for n in range(50)], 1), ([sample(7), sample(99)], 2)):
        buffer.admit(offered, window)
        memory.admit(offered)
    for n, seed in ((5, 0), (5, 1), (20, 2), (1_000, 3), (0, 4)):
        assert buffer.draw(n, seed) == memory.draw(n, seed)
    assert buffer.draw(5, 0) != buffer.draw(5, 1)


def test_an_empty_buffer_draws_nothing(buffer: ReplayBuffer) -> None:
    assert buffer.draw(5, 0) == []
    assert (len(buffer), buffer.windows(), buffer.size_bytes()) == (0, set(), 0)


def test_what_is_kept_is_uniform_over_the_stream(redis_client: redis.Redis, keys: Keys) -> None:
    """χ² over tenths of the stream: early, late, one's own window, none is preferred."""
    buffer = ReplayBuffer(redis_client, keys, size=2_000)
    for window in range(20):
        buffer.admit([sample(n) for n in range(window * 500, window * 500 + 500)], window)
    tenths = np.bincount([one.time_ms // 1_000 for one in buffer.samples()], minlength=10)
    assert tenths.sum() == 2_000
    assert chisquare(tenths).pvalue > 0.01
    drawn = np.bincount([one.time_ms // 1_000 for one in buffer.draw(500, 1)], minlength=10)
    assert chisquare(drawn).pvalue > 0.01


def test_a_rebuilt_buffer_takes_the_place_of_the_one_before(buffer: ReplayBuffer) -> None:
    mine, others = [sample(n) for n in range(5)], [sample(n) for n in range(5, 15)]
    assert buffer.version() is None
    buffer.admit(mine, window_id=3)
    buffer.stand_for(2)
    assert buffer.version() == 2
    rebuilt = BottomK(20)
    rebuilt.admit(others, window_id=4)
    buffer.replace(rebuilt, version=7)
    assert buffer.samples() == sorted(others, key=lambda one: one.key)
    assert (buffer.windows(), buffer.version()) == ({4}, 7)
    buffer.replace(BottomK(20), version=8)
    assert (len(buffer), buffer.windows(), buffer.version()) == (0, set(), None)


def test_windows_of_displaced_samples_are_forgotten(buffer: ReplayBuffer) -> None:
    buffer.admit([sample(1, key=2**64 - 1)], window_id=1)
    buffer.admit([sample(n, key=n) for n in range(20)], window_id=2)
    assert buffer.windows() == {2}
    assert len(buffer.samples()) == 20


def test_a_smaller_size_takes_effect_at_the_next_admission(
    redis_client: redis.Redis, keys: Keys, buffer: ReplayBuffer
) -> None:
    buffer.admit([sample(n) for n in range(20)], window_id=1)
    assert buffer.size_bytes() > 0
    smaller = ReplayBuffer(redis_client, keys, size=5)
    smaller.admit([sample(0)], window_id=1)
    assert len(smaller) == 5


def test_other_bounds_are_taken_anew_at_the_next_admission(
    redis_client: redis.Redis, keys: Keys, buffer: ReplayBuffer
) -> None:
    """Also in a buffer that was filled before bytes were counted."""
    offered = [sample(n) for n in range(20)]
    buffer.admit(offered, window_id=1)
    redis_client.delete(keys.replay_bounds)
    each = len(packing.pack(offered[0]))
    tighter = ReplayBuffer(redis_client, keys, size=20, max_bytes=10 * each)
    tighter.admit([offered[0]], window_id=1)
    assert 5 < len(tighter) <= 10
    assert tighter.stored_bytes() == sum(len(packing.pack(one)) for one in tighter.samples())
    wider = ReplayBuffer(redis_client, keys, size=20, max_bytes=100 * each)
    wider.admit(offered, window_id=1)
    assert len(wider) == 20, "what was let go of may come again"


def test_a_rebuilt_buffer_goes_on_as_the_one_it_was_built_from(
    redis_client: redis.Redis, keys: Keys
) -> None:
    """It takes nothing from where the rebuilding has let go, however well it would fit."""
    long, offered = replace(sample(0, key=15), item_ids=("x" * 300,) * 2), range(20)
    kept, budget = BottomK(30, 1_000), 1_000
    kept.admit([*(sample(n, key=n) for n in offered), long], window_id=1)
    buffer = ReplayBuffer(redis_client, keys, 30, budget)
    buffer.replace(kept, version=3)
    assert buffer.stored_bytes() == kept.stored_bytes() > 0
    more = [sample(n, key=2**63 + n) for n in range(5)] + [sample(n, key=100 + n) for n in offered]
    for one in (buffer, kept):
        one.admit(more, 2)
    assert buffer.draw(50, 1) == kept.draw(50, 1)
    assert buffer.samples()[-1].key < 15


def test_packed_samples_are_versioned() -> None:
    many = [sample(1), sample(2)]
    assert packing.unpack_many(packing.pack_many(many)) == many
    assert packing.unpack(packing.pack(many[0])) == many[0]
    newer = packing.pack(many[0]).replace(b"\x92\x01", b"\x92\x09", 1)
    for bad in (b"", b"\xc1", newer, packing.pack_many(many)):
        with pytest.raises(CorruptEntry):
            packing.unpack(bad)
    with pytest.raises(CorruptEntry):
        packing.unpack_many(packing.pack(many[0]))


def test_samples_without_skips_are_packed_as_they_always_were() -> None:
    plain, fussy = sample(1), replace(sample(2), skipped=("x", "ü"))
    as_before = (1, (*astuple(plain)[:-1],))
    assert packing.pack(plain) == msgspec.msgpack.encode(as_before)
    assert packing.unpack(packing.pack(fussy)) == fussy
    assert packing.unpack_many(packing.pack_many([plain, fussy])) == [plain, fussy]
    old = msgspec.msgpack.encode((1, [as_before[1]] * 2))
    assert packing.pack_many([plain, plain]) == old
    assert packing.unpack_many(old) == [plain, plain]
    pretends = msgspec.msgpack.encode((1, astuple(fussy)))
    with pytest.raises(CorruptEntry, match="knows no skipped"):
        packing.unpack(pretends)
    with pytest.raises(CorruptEntry):
        packing.unpack(msgspec.msgpack.encode((2, (*astuple(fussy), "more"))))


def test_skipped_items_come_back_from_the_buffer(buffer: ReplayBuffer) -> None:
    many = [replace(sample(n, key=n), skipped=("x",) * (n % 2)) for n in range(4)]
    buffer.admit(many, window_id=1)
    assert buffer.samples() == many


def test_hashes_are_keyed_spread_and_apart() -> None:
    assert event_key(SECRET, "u", "e") == event_key(SECRET, "u", "e")
    assert event_key(SECRET, "u", "e") != event_key(b"t" * 32, "u", "e")
    assert len({event_key(SECRET, "ab", "c"), event_key(SECRET, "a", "bc")}) == 2
    assert len({user_key(SECRET, "u"), event_key(SECRET, "u", ""), repeat_hash("u", "")}) == 3
    bins = np.bincount([user_key(SECRET, str(n)) >> 60 for n in range(16_000)], minlength=16)
    assert chisquare(bins).pvalue > 0.01


def test_a_server_that_is_gone_is_unavailable(keys: Keys) -> None:
    with connect(f"redis://127.0.0.1:{free_port()}/0", timeout_s=0.3) as client:
        buffer = ReplayBuffer(client, keys, 5)
        with pytest.raises(Unavailable):
            buffer.admit([sample(1)], 1)
        with pytest.raises(Unavailable):
            buffer.draw(1, 1)
