"""Who is held out, and how long the past is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.continual.memory import Probes, is_held_out, is_probe
from models.interactions import Sample
from tests.models.tastes import key


def sample(n: int, targets: int = 1) -> Sample:
    items = tuple(f"i{at}" for at in range(targets))
    return Sample(f"u{n}", items, targets, ("click",) * targets, (1.0,) * targets, key(str(n)), n)


def test_shares_are_kept_and_the_hold_out_changes_with_the_window() -> None:
    keys = [key(f"user{n}") for n in range(20_000)]
    assert sum(is_probe(k, 0.01) for k in keys) == pytest.approx(200, abs=60)
    first = {k for k in keys if is_held_out(k, 1, 0.1)}
    second = {k for k in keys if is_held_out(k, 2, 0.1)}
    assert len(first) == pytest.approx(2_000, abs=200)
    assert len(first & second) == pytest.approx(200, abs=70)


def test_being_held_out_has_nothing_to_do_with_being_a_probe() -> None:
    keys = [key(f"user{n}") for n in range(20_000)]
    probes = [k for k in keys if is_probe(k, 0.1)]
    assert sum(is_held_out(k, 3, 0.1) for k in probes) == pytest.approx(200, abs=70)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_nobody_and_everybody(share: float) -> None:
    for user_key in (0, 2**63, 2**64 - 2**12):
        assert is_probe(user_key, share) is (share == 1.0)


def test_bands_stay_of_like_length() -> None:
    probes = Probes(1_000, 16)
    for n in range(500):
        probes = probes.with_window([sample(n)])
    spans = [band.windows for band in probes.bands]
    assert len(spans) == 16
    assert sum(spans) == 500
    assert max(spans[:-1]) <= 64
    assert [band.from_ms for band in probes.bands] == sorted(b.from_ms for b in probes.bands)
    assert probes.bands[0].from_ms == 0


@given(st.lists(st.integers(0, 6), max_size=40))
def test_size_bounds_all_queries_and_the_past_is_never_dropped(windows: list[int]) -> None:
    probes, n = Probes(40, 4), 0
    for count in windows:
        probes = probes.with_window([sample(n + at, 1 + at % 3) for at in range(count)])
        n += count
    assert len(probes) <= 40
    assert len(probes.bands) <= 4
    assert sum(band.windows for band in probes.bands) == sum(count > 0 for count in windows)
    assert all(band.samples for band in probes.bands)


def test_a_full_band_keeps_the_lowest_keys() -> None:
    many = [sample(n) for n in range(100)]
    (band,) = Probes(10, 1).with_window(many).bands
    kept = sorted(s.key for s in band.samples)
    assert kept == sorted(s.key for s in many)[:10]


def test_the_older_probes_are_not_changed() -> None:
    first = Probes(10, 2).with_window([sample(1)])
    first.with_window([sample(2)]).with_window([sample(3)])
    assert [s.user_id for s in first.samples] == ["u1"]
