"""A window's lessons for the mixer: what the network would have said, and what is learned of them.

The fast memory writes lessons down without a network. Here the version that had not learned them
yet fills in what it says; so the mixer hears it speak of what it has not seen, as it hears the
others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from models.continual.state import LearningState
from models.mixing.blend import NETWORK, TOP
from models.mixing.features import BY_SOURCE, Features, names, place_of, source_columns
from models.mixing.mixer import Lesson
from models.mixing.mixing import Mixing, MixingReport
from models.mixing.network import Network
from models.mixing.recorded import Recorded
from models.sources import Proposal

_AT_ONCE = 64
"""Lessons for which the network scores all items at once."""


def learn_mixing(
    parent: LearningState, recorded: Sequence[Recorded], sources: Sequence[str], *, seed: int
) -> tuple[Mixing, MixingReport]:
    """The parent's mixing after lessons; on a CPU the same arguments give the same, to the bit.

    Args:
        recorded: in the order of the log; those of other sources are passed over.
        sources: those that are asked, without the network; the parent's mixing may hear others.
        seed: of everything random.
    """
    heard = (*sources, NETWORK)
    mixing = parent.mixing or Mixing.initial(heard, parent.config.seed)
    mixing = mixing.hearing(heard)
    width = len(names(heard))
    ours = [one for one in recorded if one.sources == heard and one.features.shape[1] == width]
    return mixing.after(list(completed(parent, ours)), seed=seed)


def completed(state: LearningState, recorded: Sequence[Recorded]) -> Iterator[Lesson]:
    """Lessons with what the network of `state` says of their candidates.

    It ranks all items that it knows, as it does in an answer, through the head of the event's type.
    It says nothing of a history of which it knows no item, nor of items that it does not know. A
    candidate that it alone would have brought in is not among a lesson's: by so much it is heard
    for less than it is worth.
    """
    for start in range(0, len(recorded), _AT_ONCE):
        part = recorded[start : start + _AT_ONCE]
        for lesson, network in zip(part, _networks(state, part), strict=True):
            features = lesson.features.copy()
            if network is not None:
                first = place_of(lesson.sources, NETWORK)
                features[:, first : first + len(BY_SOURCE)] = _columns(state, lesson, network)
            yield Lesson(features, np.asarray([lesson.target]), bool(lesson.answer))


def _networks(state: LearningState, recorded: Sequence[Recorded]) -> list[Network | None]:
    net = state.net
    histories = [state.items.rows(lesson.history).tolist() for lesson in recorded]
    with torch.inference_mode():
        heads = net.heads.numbers([lesson.type for lesson in recorded])
        logits: Tensor = net.encode(histories, None, heads) @ net.item_vectors().T
    return [
        Network(row) if len(row) and max(history, default=-1) >= 0 else None
        for history, row in zip(histories, logits, strict=True)
    ]


def _columns(state: LearningState, lesson: Recorded, network: Network) -> Features:
    rows = state.items.rows(lesson.items)
    union = np.union1d(rows[rows >= 0], network.best(TOP).items)
    scores = network.of(union)
    said = Proposal(union[scores > 0.0], scores[scores > 0.0])
    return source_columns(said, rows, TOP)
