"""The content tower against numpy's least squares in float64, and what it says of new items."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.sparse import csr_matrix

from models.content.features import Content, HashedTokens, stacked
from models.content.tower import PENALTIES, Tower, foretold

WIDTH = HashedTokens().width
Floats = npt.NDArray[np.float64]
RNG = np.random.default_rng(7)
SIDES = RNG.normal(size=(2, 12))


def rows(contents: list[Content]) -> csr_matrix:
    return stacked(HashedTokens().rows(contents), WIDTH)


def item(side: int, number: int) -> Content:
    what = ("red running shoe", "blue garden hose")[side]
    return Content(f"{what} {number}", categories=(("run", "garden")[side],))


def world(count: int = 60, noise: float = 0.8) -> tuple[list[Content], Floats, Floats]:
    """Items of two sides, their unit vectors [N, 12], and how often each was met [N]."""
    contents = [item(number % 2, number) for number in range(count)]
    vectors = SIDES[np.arange(count) % 2] + noise * RNG.normal(size=(count, 12))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return contents, vectors, RNG.integers(1, 30, count).astype(np.float64)


def fitted(normalize: bool = True) -> tuple[Tower, list[Content], Floats, Floats]:
    contents, vectors, events = world()
    tower = Tower.fit(rows(contents), vectors, events, normalize=normalize)
    assert tower is not None
    return tower, contents, vectors, events


def normal(features: Floats, targets: Floats, weights: Floats, penalty: float) -> Floats:
    """Ridge by numpy: the penalty as further rows of the data; the last two columns are free."""
    width = features.shape[1]
    ridge = np.sqrt(penalty) * np.eye(width)[: width - 2]
    left = np.vstack([features * np.sqrt(weights)[:, None], ridge])
    right = np.vstack([targets * np.sqrt(weights)[:, None], np.zeros((width - 2, 12))])
    return np.asarray(np.linalg.lstsq(left, right, rcond=None)[0])


def counted(events: Floats) -> Floats:
    """What each item counts, 1 in the mean."""
    return events / (events + 5.0) / np.mean(events / (events + 5.0))


def design(tower: Tower, contents: list[Content], events: Floats) -> Floats:
    dense = rows(contents).toarray()[:, tower.columns].astype(np.float64)
    return np.column_stack([dense, np.log1p(events), np.ones(len(events))])


def test_the_tower_is_the_least_squares_solution() -> None:
    tower, contents, vectors, events = fitted()
    weights = counted(events)
    solution = normal(design(tower, contents, events), vectors, weights, tower.penalty)
    found = np.vstack([tower.weights, tower.met, tower.mean])
    np.testing.assert_allclose(found, solution, atol=1e-6)


def test_its_quality_is_that_of_refits_without_each_item() -> None:
    tower, contents, vectors, events = fitted()
    features, weights = design(tower, contents, events), counted(events)

    def error(part: slice, penalty: float) -> float:
        total = 0.0
        for left_out in range(len(contents)):
            others = np.arange(len(contents)) != left_out
            solution = normal(features[others][:, part], vectors[others], weights[others], penalty)
            residual = vectors[left_out] - features[left_out, part] @ solution
            total += weights[left_out] * float(residual @ residual)
        return total

    errors = {penalty: error(slice(None), penalty) for penalty in PENALTIES}
    assert tower.penalty == min(errors, key=lambda penalty: errors[penalty])
    expected = 1.0 - errors[tower.penalty] / error(slice(-2, None), 0.0)
    assert tower.quality.r2 == pytest.approx(expected, abs=1e-6)


def test_a_new_item_lies_near_the_learned_ones_of_its_kind() -> None:
    tower, _, vectors, _ = fitted()
    shoe, decoy = tower.predict(rows([item(0, 1_000), item(1, 1_000)]))
    centre = vectors[::2].mean(axis=0)
    assert shoe @ centre > 0.5
    assert shoe @ centre > decoy @ centre + 0.3
    np.testing.assert_allclose(np.linalg.norm([shoe, decoy], axis=1), 1.0, atol=1e-5)


def test_without_cosines_lengths_are_left_alone() -> None:
    tower, *_ = fitted(normalize=False)
    lengths = np.linalg.norm(tower.predict(rows([item(0, 1)])), axis=1)
    assert abs(float(lengths[0]) - 1.0) > 1e-3


def test_how_often_an_item_was_met_is_not_mistaken_for_what_it_says() -> None:
    contents, vectors, events = world(200, noise=0.3)
    vectors[:, 0] += 0.5 * np.log1p(events)  # what is met often leans one way
    tower = Tower.fit(rows(contents), vectors, events, normalize=False)
    assert tower is not None
    seldom, often = tower.predict(rows([item(0, 1)] * 2), np.array([1.0, 29.0]))
    assert often[0] - seldom[0] == pytest.approx(0.5 * np.log(30 / 2), rel=0.2)
    never = tower.predict(rows([item(0, 1)]), 0.0)
    np.testing.assert_allclose(never[0], seldom)  # nothing is drawn out beyond what was seen


def test_text_that_says_nothing_is_not_believed() -> None:
    contents, _, events = world(200)
    noise = RNG.normal(size=(200, 12))
    assert Tower.fit(rows(contents), noise, events, normalize=True) is None


@pytest.mark.parametrize("count", [0, 1, 19])
def test_too_little_to_learn_from_is_no_tower(count: int) -> None:
    contents, vectors, events = world(count)
    assert Tower.fit(rows(contents), vectors, events, normalize=True) is None


def test_texts_that_share_nothing_and_items_never_met_are_no_tower() -> None:
    contents, vectors, events = world()
    apart = [Content(f"word{number}") for number in range(60)]
    assert Tower.fit(rows(apart), vectors, events, normalize=True) is None
    assert Tower.fit(rows(contents), vectors, 0 * events, normalize=True) is None


def test_items_with_few_events_lean_on_their_text_and_others_are_left_alone() -> None:
    tower, contents, vectors, events = fitted()
    learned = vectors.astype(np.float32)
    events[:4], contents[3] = (0.0, 1.0, 4.0, 4.0), Content("unheard of")
    features = rows(contents)
    mixed = foretold(tower, features, learned, events, 5.0)
    said = tower.predict(features, events)
    np.testing.assert_allclose(mixed[0], said[0], atol=1e-6)
    half = (1.0 * learned[1] + 5.0 * said[1]) / 6.0
    np.testing.assert_allclose(mixed[1], half / np.linalg.norm(half), atol=1e-6)
    np.testing.assert_array_equal(mixed[3], learned[3])
    enough = events >= 5.0
    np.testing.assert_array_equal(mixed[enough], learned[enough])


def test_an_unreadable_item_is_known_to_be_one_and_nothing_is_not_finite() -> None:
    tower, *_ = fitted()
    features = rows([item(0, 1), Content("unheard of"), Content()])
    assert tower.reads(features).tolist() == [True, False, False]
    assert np.isfinite(tower.predict(features)).all()
