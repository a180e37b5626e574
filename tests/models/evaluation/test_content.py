"""The arms that read what items say."""

from __future__ import annotations

import numpy as np
import pytest

from models.config import LearningConfig
from models.content.features import Content
from models.evaluation.arm import ArmSetup
from models.evaluation.content import ContentLearner, ContentNeighbours
from models.evaluation.learning import Learner
from models.evaluation.stream import Stream
from tests.models.evaluation.streams import Line, stream_of
from tests.models.evaluation.test_baselines import _ranks

CONTENTS = {
    f"{side}{number}": Content(f"{said} {number}", categories=(said,))
    for side, said in (("A", "red shoe"), ("B", "blue hose"))
    for number in range(20)
}
CONFIG = LearningConfig(
    embedding_dim=16, max_history=8, num_negatives=32, min_steps=5, full_epochs=4, epochs=1,
    fisher_samples=64,
)  # fmt: skip


def stream() -> Stream:
    """Users keep to a side; its items 18 and 19 have one event in the base, by a user of it."""
    lines: list[Line] = []
    for user in range(24):
        side = "AB"[user % 2]
        lines += [(f"u{user}", f"{side}{(user + n * 5) % 18}", 30 * user + n, 0) for n in range(9)]
    lines += [("u0", "A18", 900, 0), ("u1", "B18", 901, 0)]
    lines += [(f"u{user}", f"{'AB'[user % 2]}18", 1_000 + user, 1) for user in range(2, 24)]
    return stream_of(lines)


def setup() -> ArmSetup:
    return ArmSetup(config=CONFIG, contents=CONTENTS)


def test_neighbours_by_text_find_what_was_met_once() -> None:
    ranks = _ranks(ContentNeighbours(setup()), stream())
    assert ranks.max() <= 20  # all of the side stand before all of the other
    assert np.isfinite(ranks).all()


def test_what_has_no_text_stands_behind_by_popularity() -> None:
    some = {item: content for item, content in CONTENTS.items() if item not in ("A18", "B18")}
    ranks = _ranks(ContentNeighbours(ArmSetup(contents=some)), stream())
    assert ranks.min() > 18


def test_the_service_s_ranking_leans_on_the_text_of_items_met_seldom() -> None:
    plain, leaning = (_ranks(make(setup()), stream()) for make in (Learner, ContentLearner))
    assert leaning.mean() < plain.mean()


@pytest.mark.parametrize("arm", [ContentNeighbours, ContentLearner])
def test_without_texts_they_refuse_with_a_sentence(arm: type[ContentNeighbours]) -> None:
    with pytest.raises(ValueError, match="--items"):
        arm(ArmSetup())
