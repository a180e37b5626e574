"""What a boost does: it divides an item's place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_LEAST, _MOST = 1e-6, 1e6
"""Factors are held within; beyond, a list of a thousand knows no difference."""


def boosted(
    ranked: Sequence[tuple[str, float]], factor: Callable[[str], float]
) -> list[tuple[str, float]]:
    """The same items, each at its place divided by its factor, with the score that stands there.

    Scores of different sources have different units (a cosine, a sum of weights, a time), may be
    negative, and a product with them means nothing. What they have in common is their order: the
    item at place r counts for 1/r, and that is what a factor multiplies. With a factor of 2 the
    tenth stands as the fifth would. So a factor above 1 lowers no item, a factor of 1 changes
    nothing, items of the same factor keep their order, and scores fall with the places.

    Args:
        ranked: item ids and scores [P], best first.
        factor: by item id, positive.

    Returns:
        Item ids and scores [P], best first; between two places the score is interpolated, beyond
        the last it is the last.

    Source: reciprocal rank as worth, as in Cormack, Clarke and Büttcher, 2009 (reciprocal rank
    fusion).
    Deviations: their constant beside the rank is 0, so that a factor means the same at each place.
    """
    scores = [score for _, score in ranked]
    placed = [
        (rank / min(max(factor(item_id), _LEAST), _MOST), rank, item_id)
        for rank, (item_id, _) in enumerate(ranked, 1)
    ]
    placed.sort()
    return [(item_id, _score_at(scores, place)) for place, _, item_id in placed]


def _score_at(scores: Sequence[float], place: float) -> float:
    if place <= 1:
        return scores[0]
    if place >= len(scores):
        return scores[-1]
    above = int(place)
    upper, lower = scores[above - 1], scores[above]
    return min(upper, max(lower, upper + (place - above) * (lower - upper)))
