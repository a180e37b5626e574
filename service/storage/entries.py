"""How a log entry looks: fields `v` (format number), `p` (payload), `n` (events), `t` (total).

The payload is msgpack: a list of interactions, each a list of its fields in the order of
`Interaction`. `t` is the number of events ever appended, this entry's included, so that the events
between two positions are a subtraction and not a scan.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from service.domain.interactions import MAX_TIME_MS, Interaction
from service.errors import BadRequest, CorruptEntry

FORMAT = 1

_Row = tuple[str, str, str, int, str, float | None, str | None]
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[_Row])


def pack(interactions: Sequence[Interaction]) -> bytes:
    """The payload of one entry, which `unpack` gives back as it was.

    Raises:
        BadRequest: an interaction that `unpack` would refuse, and with it the whole entry.
    """
    for interaction in interactions:
        if fault := _fault(interaction.time_ms, interaction.value):
            raise BadRequest(f"an event cannot be logged: {fault}")
    try:
        return _encoder.encode(
            [
                (e.user_id, e.item_id, e.type, e.time_ms, e.event_id, e.value, e.recommendation_id)
                for e in interactions
            ]
        )
    except UnicodeEncodeError:
        raise BadRequest("an event cannot be logged: its text is not Unicode") from None


def unpack(fields: Mapping[bytes, bytes]) -> tuple[Interaction, ...]:
    """The interactions of one entry as it stands in the stream.

    Raises:
        CorruptEntry: a field is missing, the format is not known, or the payload is not what this
            version writes.
    """
    version = fields.get(b"v")
    if version != str(FORMAT).encode():
        raise CorruptEntry(f"format {version!r} is not known")
    try:
        rows = _decoder.decode(fields[b"p"])
        promised = int(fields[b"n"])
    except KeyError as error:
        raise CorruptEntry(f"field {error} is missing") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise CorruptEntry(f"payload: {error}") from error
    if promised != len(rows):
        raise CorruptEntry(f"{promised} events were promised, {len(rows)} are there")
    return tuple(_interaction(row) for row in rows)


def _interaction(row: _Row) -> Interaction:
    if fault := _fault(row[3], row[5]):
        raise CorruptEntry(fault)
    return Interaction(*row)


def _fault(time_ms: int, value: float | None) -> str | None:
    """What no entry may hold."""
    if not 0 <= time_ms < MAX_TIME_MS:
        return f"time {time_ms} is out of range"
    if value is not None and not math.isfinite(value):
        return f"value {value} is not finite"
    return None
