"""Training samples as bytes: versioned, self-contained, with external ids.

They outlive the version whose rows they were trained into, in the replay buffer and in draws.
Format 2 says what was skipped, too; where nothing was, format 1 is written, as it always was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from models.interactions import Sample
from service.errors import CorruptEntry

FORMAT, PLAIN = 2, 1


class _Row(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """The fields of Sample, in order; the last one is there in format 2 alone."""

    user_id: str
    item_ids: tuple[str, ...]
    num_targets: int
    types: tuple[str, ...]
    weights: tuple[float, ...]
    key: int
    time_ms: int
    skipped: tuple[str, ...] = ()


_encoder = msgspec.msgpack.Encoder()
_one = msgspec.msgpack.Decoder(tuple[int, _Row])
_many = msgspec.msgpack.Decoder(tuple[int, list[_Row]])


def pack(sample: Sample) -> bytes:
    """One sample, in as many bytes as `models.continual.buffer.sample_bytes` says."""
    return _encoder.encode((_format([sample]), _fields(sample)))


def unpack(data: bytes) -> Sample:
    """The sample that `pack` was given.

    Raises:
        CorruptEntry: it is none, or of a format this release does not know.
    """
    try:
        version, row = _one.decode(data)
        return _samples(version, [row])[0]
    except (msgspec.DecodeError, ValueError) as error:
        raise CorruptEntry(f"sample: {error}") from error


def pack_many(samples: Iterable[Sample]) -> bytes:
    """Many samples, in their order."""
    every = list(samples)
    return _encoder.encode((_format(every), [_fields(sample) for sample in every]))


def unpack_many(data: bytes) -> list[Sample]:
    """The samples that `pack_many` was given.

    Raises:
        CorruptEntry: they are none, or of a format this release does not know.
    """
    try:
        version, rows = _many.decode(data)
        return _samples(version, rows)
    except (msgspec.DecodeError, ValueError) as error:
        raise CorruptEntry(f"samples: {error}") from error


def _format(samples: Sequence[Sample]) -> int:
    return FORMAT if any(sample.skipped for sample in samples) else PLAIN


def _fields(sample: Sample) -> tuple[object, ...]:
    fields = (
        sample.user_id,
        sample.item_ids,
        sample.num_targets,
        sample.types,
        sample.weights,
        sample.key,
        sample.time_ms,
    )
    return (*fields, sample.skipped) if sample.skipped else fields


def _samples(version: int, rows: Sequence[_Row]) -> list[Sample]:
    samples = [Sample(*msgspec.structs.astuple(row)) for row in rows]
    if version not in (PLAIN, FORMAT):
        raise ValueError(f"format {version} is not known")
    if version == PLAIN and any(sample.skipped for sample in samples):
        raise ValueError(f"format {version} knows no skipped items")
    return samples
