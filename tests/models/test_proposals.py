"""Sources that go on from what others say."""

from __future__ import annotations

import pytest

from models.memory.memory import FastMemory
from models.mixing.blend import Blend
from models.sources import SOURCES, Proposal, Question
from models.sources import covisits as hops
from models.sources.covisits import COVISITS, Covisits, Walk
from models.sources.source import proposals
from tests.models.crowds import crowd, stroll


def hopped(
    monkeypatch: pytest.MonkeyPatch, blend: Blend, memory: FastMemory, question: Question
) -> tuple[int, dict[str, Proposal]]:
    """How many hops were made, and what was said."""
    made, hop = [], hops.hop

    def counted(*given: object) -> Proposal:
        made.append(given)
        return hop(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(hops, "hop", counted)
    said = blend.draft(memory, question)[1]
    monkeypatch.undo()
    return len(made), said


@pytest.mark.parametrize(("names", "expected"), [(("covisits", "walk"), 2), (("walk",), 2)])
def test_a_hop_that_one_has_made_the_other_goes_on_from(
    monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], expected: int
) -> None:
    memory, question = crowd(4, items=120), stroll(7, 7, 120)
    made, said = hopped(monkeypatch, Blend.of(names), memory, question)
    assert made == expected
    for name in names:
        alone = SOURCES[name].propose(memory, question)
        assert said[name].items.tobytes() == alone.items.tobytes()
        assert said[name].scores.tobytes() == alone.scores.tobytes()


def test_who_starts_from_another_is_not_given_this_ones_word() -> None:
    """Names do not decide, nor does the order."""
    memory, question = crowd(4, items=120), stroll(30, 30, 120)
    far = Walk(Covisits(reach=2))
    said = proposals({"walk": far, "covisits": COVISITS, "again": far}, memory, question)
    alone = far.propose(memory, question)
    assert said["walk"].scores.tobytes() == said["again"].scores.tobytes() == alone.scores.tobytes()
    assert alone.scores.tobytes() != Walk().propose(memory, question).scores.tobytes()
