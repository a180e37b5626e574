"""What the mixer is told about a candidate: by every source, of the item, and of the moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.memory.memory import FastMemory
from models.ordered import among, are_first
from models.sources.question import NOTHING, Floats, Ints, Proposal, Question, hour_affinity

Features = npt.NDArray[np.float32]

BY_SOURCE = ("score", "log", "rank")
OF_ITEM = ("slow", "trend", "fast", "events", "age")
OF_PAIR = ("seen", "step", "times", "since", "hour")
OF_MOMENT = ("length", "gap")
_RATES = 3
_SCALES = (4.0, 4.0, 4.0, 8.0, 8.0)
_FLOOR = 8.0


@dataclass(frozen=True, slots=True)
class Candidates:
    """Items [C], ascending, and what is known of each [C, F]."""

    items: Ints
    features: Features

    def __len__(self) -> int:
        return len(self.items)


def names(sources: Sequence[str]) -> list[str]:
    """The features in their order."""
    by_source = [f"{source}.{name}" for source in sources for name in BY_SOURCE]
    return [*by_source, *OF_ITEM, *OF_PAIR, *OF_MOMENT]


def place_of(sources: Sequence[str], source: str) -> int:
    """Where what `source` says begins among the features."""
    return len(BY_SOURCE) * sources.index(source)


def place_of_rank(sources: Sequence[str], source: str) -> int:
    """Where the reciprocal rank that `source` gives stands among the features."""
    return place_of(sources, source) + BY_SOURCE.index("rank")


def union(parts: Iterable[Ints]) -> Ints:
    """The items of all parts, each once, ascending."""
    items = np.sort(np.concatenate([NOTHING.items, *parts]))
    return items[are_first(items)]


def describe(
    memory: FastMemory,
    question: Question,
    items: Ints,
    proposals: Mapping[str, Proposal],
    best: Mapping[str, Ints],
) -> Features:
    """What the mixer is told of candidates [C, F], in the order of `names`.

    By source: its score as a share s of its greatest, max(1 + ln s / 8, 0), and 1/rank among its
    best; 0 where it says nothing. Of the item: ln(1 + count)/4 at each of the memory's rates,
    ln(1 + events)/8 and ln(1 + hours since the latest)/8. Of item and history: whether it is in it,
    1/steps to where it was last, ln(1 + times), 1/(1 + ln(1 + minutes)) since, and how near to this
    hour of the day it was taken (`hour_affinity`), in the mean over its times. Of the moment:
    ln(1 + length of the history)/4 and ln(1 + hours since its end)/8.

    Args:
        items: [C], ascending.
        best: the best items of each source, best first, which are all among the candidates.
    """
    said = len(proposals) * len(BY_SOURCE)
    found = np.empty((len(items), len(names(tuple(proposals)))), dtype=np.float32)
    found[:, :said] = _by_source(list(proposals.values()), items, list(best.values()))
    at_item, at_pair = said + len(OF_ITEM), said + len(OF_ITEM) + len(OF_PAIR)
    found[:, said:at_item] = _of_item(memory, question, items)
    found[:, at_item:at_pair] = _of_pair(question, items)
    found[:, at_pair:] = _of_moment(question)
    return found


def source_columns(proposal: Proposal, items: Ints, top: int) -> Features:
    """What one source says of items [C], by `BY_SOURCE`: [C, 3]; see `describe`.

    Args:
        items: in any order, below 0 where the source does not know the item.
    """
    known = items >= 0
    all_of_them = np.union1d(items[known], proposal.items)
    columns = _by_source([proposal], all_of_them, [proposal.best(top)])
    found: Features = np.zeros((len(items), len(BY_SOURCE)), dtype=np.float32)
    found[known] = columns[np.searchsorted(all_of_them, items[known])]
    return found


def _by_source(proposals: Sequence[Proposal], items: Ints, best: Sequence[Ints]) -> Features:
    """[C, 3S], of all sources at once: there are many, and each says little."""
    found = np.zeros((len(items), len(proposals), len(BY_SOURCE)), dtype=np.float32)
    scores = _laid_out(proposals, items)
    greatest_of = scores.max(axis=1, initial=0.0)
    share = (scores / np.where(greatest_of > 0.0, greatest_of, 1.0)[:, None]).astype(np.float32)
    found[:, :, 0] = share.T
    found[:, :, 1] = np.maximum(1.0 + np.log(np.maximum(share, 1e-9)) / _FLOOR, 0.0).T
    source = np.repeat(np.arange(len(best)), [len(its) for its in best])
    rank = np.concatenate([np.arange(1.0, 1.0 + len(its)) for its in best])
    found[np.searchsorted(items, np.concatenate(best)), source, 2] = 1.0 / rank
    return found.reshape(len(items), len(proposals) * len(BY_SOURCE))


def _laid_out(proposals: Sequence[Proposal], items: Ints) -> Floats:
    """What each gives to each candidate [S, C], 0 where it says nothing."""
    scores = np.zeros((len(proposals), len(items)))
    sizes = [len(proposal) for proposal in proposals]
    if not len(items) or not sum(sizes):
        return scores
    said = np.concatenate([proposal.items for proposal in proposals])
    number = np.zeros(max(said.max(), items[-1]) + 1, dtype=np.min_scalar_type(len(items)))
    number[items] = np.arange(1, len(items) + 1)
    place = number[said]
    there = np.flatnonzero(place > 0)
    source = np.repeat(np.arange(len(proposals)), sizes)[there]
    every = np.concatenate([proposal.scores for proposal in proposals])
    scores[source, place[there].astype(np.int64) - 1] = every[there]
    return scores


def _of_item(memory: FastMemory, question: Question, items: Ints) -> Features:
    """An item that the network alone knows has never happened, as far as the memory can tell."""
    met = int(np.searchsorted(items, memory.num_items))
    rows = items[:met]
    latest = np.zeros(len(items))
    latest[:met] = memory.counts.times[rows]
    found = np.zeros((len(items), len(OF_ITEM)))
    found[:met, :_RATES] = memory.counts.at(rows, question.now_s)
    found[:met, _RATES] = memory.counts.events[rows]
    found[:, _RATES + 1] = np.maximum(question.now_s - latest, 0.0) / 3_600.0
    return (np.log1p(found) / _SCALES).astype(np.float32)


def _of_pair(question: Question, items: Ints) -> Features:
    found = np.zeros((len(items), len(OF_PAIR)), dtype=np.float32)
    if not len(question.items) or not len(items):
        return found
    place, mine = among(items, question.items)
    place = place[mine]
    age_s = np.maximum(question.now_s - question.times[mine], 0.0)
    found[place, 0] = 1.0
    np.maximum.at(found[:, 1], place, 1.0 / question.steps[mine])
    np.add.at(found[:, 2], place, 1.0)
    np.maximum.at(found[:, 3], place, 1.0 / (1.0 + np.log1p(age_s / 60.0)))
    np.add.at(found[:, 4], place, hour_affinity(age_s))
    found[:, 4] /= np.maximum(found[:, 2], 1.0)
    found[:, 2] = np.log1p(found[:, 2])
    return found


def _of_moment(question: Question) -> Features:
    size = len(question.items)
    gap_h = (question.now_s - question.times[-1]) / 3_600.0 if size else 1e4
    return np.asarray([np.log1p(size) / 4.0, np.log1p(max(gap_h, 0.0)) / 8.0], dtype=np.float32)
