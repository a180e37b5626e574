"""Answers kept for a while, joined with the events that name them, and counted by version.

Three bounds, each a setting: how many answers are kept, how long, and how many versions have counts
of their own. What lies beyond them counts in the total alone. Nothing here names a user.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, cast

import msgspec
import redis

from service.domain.interactions import Position
from service.domain.online import Counts, Heard, Shown
from service.sections import OnlineSettings
from service.storage.clock import HOUR_MS
from service.storage.connections import answering
from service.storage.keys import Keys

_WHAT = "online metrics"
_TOTAL_KEY, _FIRST_VERSION_KEY = 4, 5
_Packed = tuple[int, tuple[str, ...], tuple[str, ...], tuple[int, ...]]
"""Version, items, the sources that there are, and for each item which of these it came from."""
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Packed)
_pack = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Given:
    """An answer to be kept."""

    name: str
    time_ms: int
    shown: Shown
    counts: Counts


@dataclass(frozen=True, slots=True)
class Figures:
    """The store as it stands: counts, and what they are measured by."""

    kept: int
    bytes: int
    total: Counts
    versions: Mapping[int, Counts]
    """Of the latest versions, the last one that answered first."""
    distinct: Mapping[int, Mapping[str, int]]
    """By version and source, distinct items, to within a percent; `""` is every source."""


class OnlineStore:
    """A shard's answers and counts. Replicas write what they give, the learner what it joins.

    Args:
        client: a client that returns bytes, for threads; see `service.storage.connections`.
        keys: names of the shard.
        settings: the bounds.

    Every method raises `Unavailable` when the server does not answer.
    """

    def __init__(self, client: redis.Redis, keys: Keys, settings: OnlineSettings) -> None:
        self._client = client
        self._keys = keys
        self._settings = settings
        scripts = files("service.storage")
        self._keep = client.register_script((scripts / "keep.lua").read_text())
        self._join = client.register_script((scripts / "join.lua").read_text())

    def keep(self, given: Sequence[Given], known: Mapping[int, int], now_ms: int) -> None:
        """Keep and count answers; sent again they change nothing.

        Args:
            known: for each of their versions, how many items it could recommend.
            now_ms: by which they age.
        """
        keys, places = self._version_keys(5, (one.shown.version for one in given))
        plan = (
            [
                (one.name, one.time_ms, _text(one.shown), places[one.shown.version],
                 list(one.counts.items()))
                for one in given
            ],
            [(version, place, known.get(version, 0)) for version, place in places.items()],
        )  # fmt: skip
        names = [
            self._keys.online_answers,
            self._keys.online_order,
            self._keys.online_marks,
            self._keys.online_versions,
            self._keys.online_total,
        ]
        oldest_ms = now_ms - round(self._settings.hours * HOUR_MS)
        args: list[int | bytes] = [self._settings.answers, oldest_ms, _pack(plan)]
        with answering(_WHAT), self._client.pipeline(transaction=True) as pipe:
            self._keep(keys=names + keys, args=args, client=pipe)
            for (version, source), items in _by_source(given).items():
                pipe.pfadd(self._keys.online_items(version, source), *items)
            pipe.execute()
        self._forget_versions()

    def position(self) -> Position | None:
        """How far the log is joined; None before the first time."""
        with answering(_WHAT):
            found = cast(bytes | None, self._client.get(self._keys.online_position))
        return None if found is None else Position.parse(found.decode())

    def recall(self, names: Sequence[str]) -> dict[str, Heard]:
        """The answers of these names that are kept, and what has been heard of them."""
        if not names:
            return {}
        with answering(_WHAT), self._client.pipeline(transaction=True) as pipe:
            pipe.hmget(self._keys.online_answers, list(names))
            pipe.hmget(self._keys.online_marks, list(names))
            kept, marks = cast(list[list[bytes | None]], pipe.execute())
        return {
            name: Heard.unpack(_shown(one), None if mark is None else mark.decode())
            for name, one, mark in zip(names, kept, marks, strict=True)
            if one is not None
        }

    def join(
        self,
        start: Position | None,
        end: Position,
        heard: Mapping[str, Heard],
        total: Counts,
        versions: Mapping[int, Counts],
    ) -> bool:
        """Count what the log says after `start` up to and with `end`, once.

        Args:
            start: the position as it was read; None for none.
            heard: answers by name, as they are after it.
            total: what it adds over all versions.
            versions: and to each of them.

        Returns:
            False when somebody else has moved the position; nothing was counted then.
        """
        keys, places = self._version_keys(_TOTAL_KEY, versions)
        sums = [(_TOTAL_KEY, list(total.items()))]
        sums += [(places[version], list(counts.items())) for version, counts in versions.items()]
        names = [
            self._keys.online_position,
            self._keys.online_answers,
            self._keys.online_marks,
            self._keys.online_total,
        ]
        plan = ([(name, one.pack()) for name, one in heard.items()], sums)
        args: list[str | bytes] = ["" if start is None else str(start), str(end), _pack(plan)]
        with answering(_WHAT):
            return bool(self._join(keys=names + keys, args=args))

    def figures(self) -> Figures:
        """What there is."""
        keys = self._keys
        with answering(_WHAT), self._client.pipeline(transaction=False) as pipe:
            pipe.zcard(keys.online_order)
            for name in (keys.online_answers, keys.online_order, keys.online_marks):
                pipe.memory_usage(name)
            pipe.hgetall(keys.online_total)
            pipe.zrevrange(keys.online_versions, 0, self._settings.versions - 1)
            kept, *sizes, total, latest = pipe.execute()
            versions = [int(one) for one in latest]
            for version in versions:
                pipe.hgetall(keys.online_version(version))
            counts = dict(zip(versions, map(_numbers, pipe.execute()), strict=True))
            asked = [
                (version, source, group)
                for version, fields in counts.items()
                for source, group in _sources(fields)
            ]
            for version, _, group in asked:
                pipe.pfcount(*(keys.online_items(version, source) for source in group))
            distinct: dict[int, dict[str, int]] = defaultdict(dict)
            for (version, source, _), number in zip(asked, pipe.execute(), strict=True):
                distinct[version][source] = int(number)
        size = sum(one or 0 for one in sizes)
        return Figures(int(kept), size, _numbers(total), counts, dict(distinct))

    def _forget_versions(self) -> None:
        """Drop the counts of the versions whose last answer lies furthest back."""
        keys = self._keys
        with answering(_WHAT):
            stale = cast(
                list[bytes],
                self._client.zrevrange(keys.online_versions, self._settings.versions, -1),
            )
            for version in map(int, stale):
                fields = _numbers(self._client.hgetall(keys.online_version(version)))
                named = [keys.online_items(version, one) for _, group in _sources(fields)
                         for one in group]  # fmt: skip
                with self._client.pipeline(transaction=True) as pipe:
                    pipe.delete(keys.online_version(version), *named)
                    pipe.zrem(keys.online_versions, version)
                    pipe.execute()

    def _version_keys(
        self, before: int, versions: Iterable[int]
    ) -> tuple[list[str], dict[int, int]]:
        """The keys of the versions' counts, and each one's index behind `before` others."""
        places: dict[int, int] = {}
        for version in versions:
            places.setdefault(version, before + len(places) + 1)
        return [self._keys.online_version(version) for version in places], places


def _text(shown: Shown) -> str:
    sources = tuple(dict.fromkeys(shown.sources))
    places = tuple(sources.index(source) for source in shown.sources)
    return _encoder.encode((shown.version, shown.items, sources, places)).decode()


def _shown(packed: bytes) -> Shown:
    version, items, sources, places = _decoder.decode(packed)
    return Shown(version, items, tuple(sources[place] for place in places))


def _by_source(given: Iterable[Given]) -> dict[tuple[int, str], set[str]]:
    found: dict[tuple[int, str], set[str]] = defaultdict(set)
    for one in given:
        for item_id, source in zip(one.shown.items, one.shown.sources, strict=True):
            found[one.shown.version, source].add(item_id)
    return found


def _sources(fields: Counts) -> list[tuple[str, tuple[str, ...]]]:
    """Each source that has shown items, and under `""` all of them, where there are any."""
    names = tuple(sorted(name[6:] for name in fields if name.startswith("shown:")))
    return [("", names), *((name, (name,)) for name in names)] if names else []


def _numbers(found: Any) -> dict[str, float]:
    return {name.decode(): float(number) for name, number in found.items()}
