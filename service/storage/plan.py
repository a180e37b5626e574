"""What the ingest script is told: its keys, and per user and bucket what to do with them.

The plan travels as one msgpack argument, which the server decodes natively: hundreds of arguments
would cost the client more than the script's own work.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from service.domain.interactions import Interaction
from service.domain.weights import EventWeights
from service.storage import history, popularity
from service.storage.keys import Keys

_encoder = msgspec.msgpack.Encoder()

_User = tuple[int, list[float], list[str], list[str], list[int], list[float], list[int]]


def make_plan(
    interactions: Sequence[Interaction], keys: Keys, weights: EventWeights, now_ms: int
) -> tuple[list[str], bytes]:
    """The script's KEYS and its plan for one request; `ingest.lua` describes both."""
    names = [keys.log, keys.log_total, keys.first_seen, keys.last_seen]
    users: dict[str, _User] = {}
    buckets: dict[int, tuple[int, int]] = {}
    for order, event in enumerate(interactions):
        user = users.get(event.user_id)
        if user is None:
            names.append(keys.history(event.user_id))
            user = users[event.user_id] = (len(names), [], [], [], [], [], [])
        hour = popularity.bucket_hour(event.time_ms, now_ms)
        if hour not in buckets:
            names.append(keys.popularity(hour))
            buckets[hour] = (len(names), hour * 3600 + popularity.BUCKET_LIFE_S)
        _, scores, members, items, seen_at, worths, indices = user
        scores.append(history.score(event.time_ms, order))
        members.append(history.pack_member(event))
        items.append(event.item_id)
        seen_at.append(min(event.time_ms, now_ms))
        worths.append(weights.weight(event.type, event.value))
        indices.append(buckets[hour][0])
    return names, _encoder.encode((list(users.values()), list(buckets.values())))
