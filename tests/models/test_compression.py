"""Compressed rows: within the bounds that can be worked out, and never more bytes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.compression import ROWS, compress, kept_rows, low_rank
from models.ranking.compressed import CompressedIndex
from models.ranking.index import ExactIndex


def table(rows: int, dim: int, spread: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(rows * 131 + dim)
    scales = torch.logspace(-3, 3, max(rows, 1))[:rows, None] ** spread
    return torch.randn(rows, dim, generator=generator) * scales


SHAPES = [(0, 3), (1, 1), (7, 5), (211, 64)]


@pytest.mark.parametrize(("rows", "dim"), SHAPES)
class TestBounds:
    def test_int8_is_off_by_half_a_scale(self, rows: int, dim: int) -> None:
        vectors = table(rows, dim)
        kept = compress(vectors, "int8")
        assert kept.scale is not None
        off = (kept[:] - vectors).abs()
        assert bool(
            (off <= 0.5001 * vectors.abs().amax(1, keepdim=True) / 127).all() if rows else True
        )
        assert kept.nbytes == rows * (dim + 4)

    def test_float16_is_off_by_half_a_unit_in_the_last_place(self, rows: int, dim: int) -> None:
        vectors = table(rows, dim)
        kept = compress(vectors, "float16")
        bound = torch.maximum(vectors.abs() * 2.0**-11, torch.tensor(2.0**-25))
        assert bool(((kept[:] - vectors).abs() <= bound).all())
        assert kept.nbytes == rows * dim * 2

    def test_float32_is_the_very_same(self, rows: int, dim: int) -> None:
        vectors = table(rows, dim)
        assert compress(vectors, "float32")[:].data_ptr() == vectors.data_ptr()

    @pytest.mark.parametrize("kind", ROWS)
    def test_rows_are_selected_as_they_are_read(self, rows: int, dim: int, kind: str) -> None:
        kept = compress(table(rows, dim), kind)
        some = torch.arange(rows).flip(0)[::3]
        assert torch.equal(kept.index_select(0, some), kept[some])

    def test_a_score_is_off_by_no_more_than_its_bound(self, rows: int, dim: int) -> None:
        vectors, query = table(rows, dim), table(3, dim)[1:2]
        kept = compress(vectors, "int8")
        off = (kept[:] @ query.T - vectors @ query.T).abs()[:, 0]
        scale = kept.scale if kept.scale is not None else torch.empty(0, 1)
        assert bool(
            (off <= 0.51 * scale[:, 0] * query.abs().sum() + 1e-4 * vectors.norm(dim=1)).all()
        )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=9))
def test_int8_keeps_the_largest_component_and_the_signs(row: list[float]) -> None:
    vectors = torch.tensor([row])
    back = compress(vectors, "int8")[:]
    assert float(back.abs().max()) == pytest.approx(float(vectors.abs().max()), rel=1e-5, abs=1e-30)
    assert bool((back * vectors >= 0).all())


@pytest.mark.parametrize("kind", ["float32", "float16", "int8"])
def test_rows_can_be_asked_in_any_way(kind: str) -> None:
    kept = compress(table(9, 4, 0.0), kind)
    for rows in ([8, 0, 3], torch.tensor([8, 0, 3])):
        assert torch.equal(kept[rows], kept[:][[8, 0, 3]])
    assert torch.equal(kept[2:5], kept[:][2:5])
    assert kept[:].dtype is torch.float32


def test_a_row_of_zeros_stays_one() -> None:
    assert torch.equal(compress(torch.zeros(2, 3), "int8")[:], torch.zeros(2, 3))


def test_what_cannot_be_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="allowed are float32, float16, int8"):
        compress(torch.zeros(1, 1), "int4")
    with pytest.raises(ValueError, match="too large for float16"):
        compress(torch.full((1, 1), 1e5), "float16")
    with pytest.raises(ValueError, match=r"rank: must lie in \[1, 3\]"):
        low_rank(torch.zeros(5, 3), 4)


@pytest.mark.parametrize("kind", ["float16", "int8"])
@pytest.mark.parametrize("size", [5, 20_000])
def test_a_compressed_index_is_an_exact_one_over_the_decoded_rows(kind: str, size: int) -> None:
    kept, queries = compress(table(size, 8, 0.0), kind), table(3, 8)
    mine, plain = CompressedIndex(kept), ExactIndex.build(kept[:])
    allowed = torch.arange(0, size, 2)
    for chosen in (None, allowed):
        scores, rows = mine.search(queries, 4, allowed=chosen, excluded=[torch.tensor([2])] * 3)
        expected = plain.search(queries, 4, allowed=chosen, excluded=[torch.tensor([2])] * 3)
        torch.testing.assert_close(scores, expected[0])
        assert torch.equal(rows, expected[1])


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_low_rank_is_off_by_the_singular_values_left_out(rank: int) -> None:
    vectors = table(40, 6, 0.0).double()
    kept = low_rank(vectors, rank)
    left_out = torch.linalg.svdvals(vectors)[rank:]
    assert float((kept[:] - vectors).square().sum()) == pytest.approx(
        float(left_out.square().sum()), abs=1e-12
    )
    assert kept.nbytes == 8 * rank * (40 + 6)
    torch.testing.assert_close(kept[[3, 1]], kept[:][[3, 1]])


def test_pruning_takes_rare_and_idle_rows_and_none_of_the_catalogue() -> None:
    events, idle = torch.tensor([9.0, 1.0, 9.0, 1.0]), torch.tensor([0, 0, 50, 50])
    nowhere = torch.zeros(4, dtype=torch.bool)
    assert kept_rows(events, idle, nowhere).tolist() == [0, 1, 2, 3]
    assert kept_rows(events, idle, nowhere, min_events=2).tolist() == [0, 2]
    assert kept_rows(events, idle, nowhere, max_idle=10).tolist() == [0, 1]
    listed = torch.tensor([False, False, False, True])
    assert kept_rows(events, idle, listed, min_events=2, max_idle=10).tolist() == [0, 3]
