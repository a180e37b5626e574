"""Growth alignment, initial rows and touched rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.nets import GrowableTable
from models.parameters import Layout, grown, initial_rows, mix64, touched_rows


def test_rows_are_the_same_however_the_table_grew() -> None:
    at_once = GrowableTable(5, seed=3).grown(40)
    by_steps = GrowableTable(5, seed=3)
    for size in (1, 1, 7, 39, 40):
        by_steps = by_steps.grown(size)
    assert torch.equal(at_once.rows, by_steps.rows)
    assert not torch.equal(at_once.rows, GrowableTable(5, seed=4).grown(40).rows)


def test_growth_keeps_learned_rows_and_does_not_touch_the_parent() -> None:
    parent = GrowableTable(5, seed=3).grown(3)
    parent.rows[1] = 7.0
    before = parent.rows.clone()
    child = parent.grown(6)
    child.rows[0] = -1.0
    assert torch.equal(child.rows[1], torch.full((5,), 7.0))
    assert torch.equal(parent.rows, before)
    with pytest.raises(ValueError, match="cannot shrink"):
        child.grown(2)


def test_initial_rows_are_centred_with_norm_about_one() -> None:
    rows = initial_rows(11, 0, 2_000, 64)
    assert abs(float(rows.mean())) < 1e-3
    assert float(rows.norm(dim=1).mean()) == pytest.approx(1.0, abs=0.01)
    torch.testing.assert_close(initial_rows(11, 0, 9, 64, norm=0.2), rows[:9] * 0.2)
    correlation = torch.corrcoef(rows[:50]) - torch.eye(50)
    assert float(correlation.abs().max()) < 0.6


def test_mix64_gives_each_number_its_own() -> None:
    mixed = mix64(np.arange(100_000, dtype=np.uint64))
    assert len(np.unique(mixed)) == 100_000
    assert 0.49 < float((mixed >> np.uint64(63)).mean()) < 0.51


def test_grown_fills_and_never_shrinks() -> None:
    tensor = torch.arange(6.0).view(3, 2)
    assert grown(tensor, 4, 9.0).tolist() == [[0, 1], [2, 3], [4, 5], [9, 9]]
    with pytest.raises(ValueError, match="cannot shrink"):
        grown(tensor, 2)


def test_touched_rows_are_the_union_and_places_find_them() -> None:
    uses = (torch.tensor([[5, -1], [2, 5]]), torch.tensor([9, 2]), torch.tensor([-1]))
    touched = touched_rows(*uses)
    assert touched.rows.tolist() == [2, 5, 9]
    for use, place in zip(uses, touched.places, strict=True):
        assert place.shape == use.shape
        found = torch.where(place >= 0, touched.rows[place.clamp(min=0)], -1)
        assert torch.equal(found, use)


def test_no_rows_are_touched_by_nothing() -> None:
    touched = touched_rows(torch.tensor([-1, -1]), torch.empty(0, dtype=torch.int64))
    assert touched.rows.tolist() == []
    assert touched.places[0].tolist() == [-1, -1]


def test_layout_lays_parts_end_to_end_and_finds_them() -> None:
    layout = Layout((("a", (2, 3)), ("b", (1,))))
    flat = layout.flat([torch.arange(6.0).view(2, 3), torch.tensor([6.0])])
    assert flat.tolist() == list(range(7))
    views = layout.views(flat)
    views["b"][0] = 9.0
    assert float(flat[6]) == 9.0
    assert views["a"].shape == (2, 3)


def test_what_lies_flat_follows_its_layout_by_name_and_unit() -> None:
    old = Layout((("a", (2,)), ("units", (3, 2)), ("gone", (1,))), {"units": (4, 1, 7)})
    new = Layout((("new", (2,)), ("units", (3, 2)), ("a", (3,))), {"units": (9, 7, 4)})
    flat = torch.tensor([1.0, 2.0, 10.0, 11.0, 20.0, 21.0, 30.0, 31.0, 5.0])
    expected = [-1.0, -1.0, -1.0, -1.0, 30.0, 31.0, 10.0, 11.0, 1.0, 2.0, -1.0]
    assert old.carried(flat, new, -1.0).tolist() == expected
    fill = torch.arange(100.0, 111.0)
    filled = old.carried(flat, new, fill).tolist()
    assert filled == [100, 101, 102, 103, 30, 31, 10, 11, 1, 2, 110]
    assert old.carried(flat > 20, new).tolist() == [value > 20 for value in expected]
    assert torch.equal(old.carried(flat, old), flat)
    assert old.carried(flat, old) is not flat
    assert fill.tolist() == list(range(100, 111))


def test_a_part_whose_units_have_another_shape_is_not_carried() -> None:
    old, new = Layout((("a", (2, 3)),)), Layout((("a", (2, 4)),))
    with pytest.raises(ValueError, match=r"a: units of different shapes, \[2, 3\] and \[2, 4\]"):
        old.carried(torch.zeros(6), new)


def test_weights_are_found_by_the_names_of_their_parts() -> None:
    layout = Layout((("a", (2,)), ("b", (1, 2)), ("c", (1,))))
    assert layout.among(["c", "a"]).tolist() == [True, True, False, False, True]
