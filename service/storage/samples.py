"""Training samples as bytes: versioned, self-contained, with external ids.

They outlive the version whose rows they were trained into, in the replay buffer and in draws.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from models.interactions import Sample
from service.errors import CorruptEntry

FORMAT = 1

_Packed = tuple[
    str, tuple[str, ...], int, tuple[str, ...], tuple[float, ...], int, int
]  # the fields of Sample, in order
_T = TypeVar("_T")
_encoder = msgspec.msgpack.Encoder()
_one = msgspec.msgpack.Decoder(tuple[int, _Packed])
_many = msgspec.msgpack.Decoder(tuple[int, list[_Packed]])


def pack(sample: Sample) -> bytes:
    """One sample, in as many bytes as `models.continual.buffer.sample_bytes` says."""
    return _encoder.encode((FORMAT, _fields(sample)))


def unpack(data: bytes) -> Sample:
    """The sample that `pack` was given.

    Raises:
        CorruptEntry: it is none, or of a format this release does not know.
    """
    try:
        version, fields = _one.decode(data)
        return Sample(*_known(version, fields))
    except (msgspec.DecodeError, ValueError) as error:
        raise CorruptEntry(f"sample: {error}") from error


def pack_many(samples: Iterable[Sample]) -> bytes:
    """Many samples, in their order."""
    return _encoder.encode((FORMAT, [_fields(sample) for sample in samples]))


def unpack_many(data: bytes) -> list[Sample]:
    """The samples that `pack_many` was given.

    Raises:
        CorruptEntry: they are none, or of a format this release does not know.
    """
    try:
        version, rows = _many.decode(data)
        return [Sample(*fields) for fields in _known(version, rows)]
    except (msgspec.DecodeError, ValueError) as error:
        raise CorruptEntry(f"samples: {error}") from error


def _fields(sample: Sample) -> _Packed:
    return (
        sample.user_id,
        sample.item_ids,
        sample.num_targets,
        sample.types,
        sample.weights,
        sample.key,
        sample.time_ms,
    )


def _known(version: int, value: _T) -> _T:
    if version != FORMAT:
        raise ValueError(f"format {version} is not known")
    return value
