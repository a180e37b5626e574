"""Session neighbours: the past sessions most like this one say what comes next."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.evaluation.arm import Arm
from models.evaluation.popularity import counts
from models.evaluation.questions import Questions
from models.evaluation.scores import Scores, SharedScores, SparseScores
from models.evaluation.stream import Slice

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

HISTORY = 50


class SessionNeighbours(Arm):
    """V-SkNN: every session (every user's whole stream) is kept, or the latest ones alone.

    Of L items of the history the k-th weighs w = k/L; similarity(s) = Σ w / √|s|, the sum over
    items shared with s; the `num_neighbours` most similar sessions (the latest first among equals)
    give each of their items similarity / (steps back of the latest shared item).

    Args:
        num_neighbours: sessions that answer.
        max_sessions: latest sessions looked at for an item of the history.
        kept: sessions kept at most, whole, by their latest event; None is full memory. Popularity,
            which orders what no neighbour has, counts everything.

    Source: Ludewig and Jannach, 2018 (arXiv 1803.09587), section 4.3. Deviation: candidates are
    the latest sessions of each item of the history, not a sample over all of them.
    """

    def __init__(
        self, num_neighbours: int = 100, max_sessions: int = 3_000, *, kept: int | None = None
    ) -> None:
        self.num_neighbours = num_neighbours
        self.max_sessions = max_sessions
        self.kept = kept

    def fit(self, base: Slice) -> None:
        self._memorize(base.so_far)

    def update(self, period: Slice) -> None:
        self._memorize(period.so_far)

    def _memorize(self, seen: Slice) -> None:
        num_items = seen.num_items
        self._rest = SharedScores(counts(seen))
        num_users = int(seen.user.max()) + 1
        num_sessions = num_users if self.kept is None else min(num_users, self.kept)
        latest = np.full(num_users, -1, dtype=np.int64)
        latest[seen.user] = seen.rows
        # sessions are numbered by their latest event, so that "the latest" is "the highest"
        order = np.argsort(latest, kind="stable")[num_users - num_sessions :]
        self._number = np.full(len(seen.stream.users), -1, dtype=np.int64)
        self._number[order] = np.arange(num_sessions)
        session, item = self._number[seen.user], seen.item
        pairs = np.unique((session * num_items + item)[session >= 0])
        session, item = pairs // num_items, pairs % num_items
        self._items, self._item_offsets = item, _offsets(session, num_sessions)
        self._norms = np.sqrt(np.diff(self._item_offsets))
        by_item = np.argsort(item, kind="stable")
        self._sessions, self._session_offsets = session[by_item], _offsets(item, num_items)

    def scores(self, questions: Questions) -> Scores:
        history = questions.histories(limit=HISTORY)
        answers = []
        for row, user in enumerate(questions.users):
            span = slice(history.offsets[row], history.offsets[row + 1])
            answers.append(
                self._answer(history.items[span][::-1], history.steps[span][::-1], int(user))
            )
        lengths = [len(items) for items, _ in answers]
        return SparseScores(
            np.concatenate([items for items, _ in answers]),
            np.concatenate(([0], np.cumsum(lengths))),
            np.concatenate([values for _, values in answers]),
            self._rest,
        )

    def _answer(self, items: Ints, steps: Ints, user: int) -> tuple[Ints, Floats]:
        """Scored items of one question; `items` and `steps` of its history, the latest first."""
        length = len(items)
        known = items < len(self._rest.scores)
        items, first = np.unique(items[known], return_index=True)
        order = np.argsort(first)
        items, steps = items[order], steps[known][first[order]]
        lists = [self._sessions_of(item) for item in items]
        if not lists:
            return np.empty(0, dtype=np.int64), np.empty(0)
        lengths = [len(sessions) for sessions in lists]
        weights = np.repeat(np.maximum(1.0 - (steps - 1) / length, 1.0 / length), lengths)
        decay = np.repeat(1.0 / steps, lengths)
        # the first place that a session is found at is its latest shared item
        sessions, place, group = np.unique(
            np.concatenate(lists), return_index=True, return_inverse=True
        )
        similarity = np.bincount(group, weights=weights) / self._norms[sessions]
        similarity[sessions == self._number[user]] = 0.0
        if len(sessions) > self.num_neighbours:
            chosen = np.lexsort((sessions, similarity))[-self.num_neighbours :]
        else:
            chosen = np.arange(len(sessions))
        return self._vote(sessions[chosen], similarity[chosen] * decay[place[chosen]])

    def _sessions_of(self, item: int) -> Ints:
        stop = self._session_offsets[item + 1]
        start = max(self._session_offsets[item], stop - self.max_sessions)
        return self._sessions[start:stop]

    def _vote(self, sessions: Ints, votes: Floats) -> tuple[Ints, Floats]:
        starts, stops = self._item_offsets[sessions], self._item_offsets[sessions + 1]
        lengths = stops - starts
        begin = np.cumsum(lengths) - lengths
        places = np.arange(lengths.sum()) + np.repeat(starts - begin, lengths)
        items, group = np.unique(self._items[places], return_inverse=True)
        values = np.bincount(group, weights=np.repeat(votes, lengths))
        return items, np.asarray(values, dtype=np.float64)

    def costs(self) -> dict[str, float]:
        sessions = (self._items, self._item_offsets, self._sessions, self._session_offsets)
        return {
            "sessions_kept": float(np.count_nonzero(self._norms)),
            "bytes_kept": float(sum(part.nbytes for part in sessions)),
        }


def _offsets(groups: Ints, num_groups: int) -> Ints:
    return np.concatenate(([0], np.cumsum(np.bincount(groups, minlength=num_groups))))
