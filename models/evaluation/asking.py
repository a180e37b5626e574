"""What is asked in a stretch of the stream, and what is known of the answers."""

from __future__ import annotations

import numpy as np

from models.evaluation.questions import Asked, Questions
from models.evaluation.stream import Ints, Slice


def ask(
    stretch: Slice, *, share: float = 1.0, seed: int = 0, probes: bool = False
) -> tuple[Questions, Asked]:
    """What is asked in `stretch`, and the targets, which no arm is shown.

    Events of one user with the same history and of the same type share one question.

    Args:
        stretch: a period, or a part of one; known is what was seen before it.
        share: share of the users that are asked, drawn with `seed`.
        probes: ask the probe users alone.
    """
    stream = stretch.stream
    events = np.arange(stretch.start, stretch.stop)
    if probes:
        events = events[stream.probe[stream.user[events]]]
    if share < 1.0:
        chosen = np.random.default_rng(seed).random(len(stream.users)) < share
        events = events[chosen[stream.user[events]]]
    steps = stream.step_start[stream.place[events]]
    types = len(stream.type_names)
    asked, question = np.unique(steps * types + stream.kind[events], return_inverse=True)
    stops, kinds = asked // types, asked % types
    questions = Questions(
        stream=stream,
        users=stream.user[stream.sequence[stops]],
        starts=stream.user_start[stops],
        stops=stops,
        kinds=kinds,
    )
    return questions, _targets(stretch, events, question.astype(np.int64))


def _targets(stretch: Slice, events: Ints, question: Ints) -> Asked:
    stream = stretch.stream
    places = stream.place[events]
    steps, starts = stream.step_start[places], stream.user_start[places]
    num_users, num_items = stream.known(stretch.start)
    target, user = stream.item[events], stream.user[events]
    known = target < num_items
    period = int(stream.period_of(np.asarray(stretch.start)))
    _, num_learned = stream.known(int(stream.bounds[period]))
    seen = stream.period_of(stream.sightings.latest(target, stretch.start))
    return Asked(
        question=question,
        user=user,
        target=target,
        known=known,
        ader=(target < num_learned)
        & (steps > starts)
        & (stream.lowest[np.maximum(steps - 1, 0)] < num_learned),
        new_user=user >= num_users,
        returning=known & (seen < period - 2),
        item_events=stream.sightings.learnable(target, stretch.start),
        user_events=steps - starts,
    )
