"""Lessons of the mixer: as bytes, and in the stream in which the fast memory leaves them.

The stream is written in the step that moves the memory's position, so each event is told of once or
not at all. An entry is named by where its event stands in the log, so a stretch of the log is a
stretch of the stream; an event may leave two, the second of the answer that it names. None holds a
user.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import cast

import msgspec
import numpy as np
import redis

from models.mixing.recorded import Recorded
from service.domain.interactions import Position
from service.errors import CorruptEntry
from service.storage.connections import answering
from service.storage.keys import Keys

OF_ALL, OF_ANSWER = 3, 4
"""What packed lessons begin with: of all candidates, and of those that an answer showed."""

Told = tuple[Position, bytes]
"""Where a lesson's event stands in the log, and the packed lesson."""

_PLACES = 1 << 20
"""Lessons of one entry of the log, at most."""
_LEVEL = 3
_PAGE = 64

_Packed = tuple[tuple[str, ...], str, tuple[str, ...], tuple[str, ...], int, bytes, str, int]
_decoder = msgspec.msgpack.Decoder(_Packed)
_many = msgspec.msgpack.Decoder(list[tuple[str, bytes]])


def pack(lesson: Recorded) -> bytes:
    """One lesson. Features lie column by column: most columns are nearly all zeros."""
    columns = np.ascontiguousarray(lesson.features.T, dtype="<f2").tobytes()
    fields: _Packed = (
        lesson.sources, lesson.type, lesson.history, lesson.items, lesson.target, columns,
        lesson.answer, lesson.looked,
    )  # fmt: skip
    kind = OF_ANSWER if lesson.answer else OF_ALL
    return bytes((kind,)) + zlib.compress(msgspec.msgpack.encode(fields), _LEVEL)


def is_of_answer(data: bytes) -> bool:
    """Whether packed bytes are a lesson of what an answer showed, without unpacking them."""
    return data[:1] == bytes((OF_ANSWER,))


def unpack(data: bytes) -> Recorded:
    """The lesson that `pack` was given.

    Raises:
        CorruptEntry: it is none, or of a format this release does not know.
    """
    try:
        if data[:1] not in (bytes((OF_ALL,)), bytes((OF_ANSWER,))):
            raise ValueError(f"format {data[:1].hex()} is not known")
        sources, kind, history, items, target, columns, answer, looked = _decoder.decode(
            zlib.decompress(data[1:])
        )
        features = np.frombuffer(columns, dtype="<f2").reshape(-1, len(items)).T
        if not 0 <= target < len(items):
            raise ValueError("what came is none of the candidates")
        if answer and not target < looked <= len(items):
            raise ValueError("what was taken was not looked at")
        if not np.isfinite(features).all():
            raise ValueError("its features are not finite")
    except (zlib.error, msgspec.DecodeError, ValueError) as error:
        raise CorruptEntry(f"lesson: {error}") from error
    found = features.astype(np.float16)
    return Recorded(sources, kind, history, items, found, target, answer, looked)


def pack_many(lessons: Sequence[Told]) -> bytes:
    """Lessons in one file, in their order."""
    return msgspec.msgpack.encode([(str(position), data) for position, data in lessons])


def unpack_many(data: bytes) -> list[Told]:
    """The inverse of `pack_many`.

    Raises:
        CorruptEntry: these are none.
    """
    try:
        return [(Position.parse(position), data) for position, data in _many.decode(data)]
    except (msgspec.DecodeError, ValueError) as error:
        raise CorruptEntry(f"lessons: {error}") from error


def lesson_id(position: Position, place: int, *, answer: bool = False) -> str:
    """How the stream names the lesson of the event at `place` of the entry at `position`, or that
    of the answer which the event names."""
    return f"{position.ms}-{position.seq * _PLACES + 2 * place + answer}"


class Lessons:
    """Reads the stream.

    Args:
        client: a client that returns bytes, for threads.
        keys: names of the shard.
    """

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    def between(self, after: Position, until: Position, most: int) -> list[Told]:
        """The lessons of the log after `after` up to and with `until`: the latest `most`, in the
        order of the log.

        Raises:
            Unavailable: the server does not answer.
        """
        first, last = (lesson_id(at, _PLACES // 2 - 1, answer=True) for at in (after, until))
        found: list[Told] = []
        while len(found) < most:
            with answering("fast memory"):
                page = self._client.xrevrange(
                    self._keys.memory_lessons,
                    max=last,
                    min=f"({first}",
                    count=min(_PAGE, most - len(found)),
                )
            for name, fields in cast(list[tuple[bytes, dict[bytes, bytes]]], page):
                found.append((_position(name), fields[b"l"]))
                last = f"({name.decode()}"
            if not page:
                break
        return found[::-1]


def _position(name: bytes) -> Position:
    ms, number = map(int, name.split(b"-"))
    return Position(ms, number // _PLACES)
