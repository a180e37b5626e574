"""A row of the fast memory as bytes, and back, to the bit.

A memory is its rows: those of items (counts and places in the graphs) and those of sessions. Put
into an empty memory, all of them make the one they were taken from, but for the index over the
sessions, which is made anew. Only filled places are packed: an item takes 60 bytes and 8 for each
neighbour in each graph, 1,660 at a width of 100; a session 20 bytes and 12 for each event.

    item     counts by rate, time, events undecayed, time of each graph (f8 each); neighbours in
             each graph (u2); then graph by graph these (i4) and their weights (f4), strongest first
    session  key (u8), number of the latest event (i8), events (u4); items (i4), times (f8)

All little-endian. Bounds may differ on both sides: what does not fit is dropped, weakest or oldest
first.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from models.memory.graph import NONE, Graph
from models.memory.memory import FastMemory

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

FORMAT = 2
"""Changes whenever the layout does."""

_ITEM = struct.Struct("<3d2d2d2H")
_SESSION = struct.Struct("<QqI")
_INT, _FLOAT, _DOUBLE = np.dtype("<i4"), np.dtype("<f4"), np.dtype("<f8")


def pack_item(memory: FastMemory, row: int) -> bytes:
    """What the memory holds of an item."""
    counts, graphs = memory.counts, _graphs(memory)
    sizes = [int(np.count_nonzero(graph.neighbours[row] != NONE)) for graph in graphs]
    head = _ITEM.pack(
        *counts.values[row].tolist(),
        counts.times[row],
        counts.events[row],
        *(graph.times[row] for graph in graphs),
        *sizes,
    )
    parts = [head]
    for graph, size in zip(graphs, sizes, strict=True):
        parts.append(graph.neighbours[row, :size].astype(_INT, copy=False).tobytes())
        parts.append(graph.weights[row, :size].astype(_FLOAT, copy=False).tobytes())
    return b"".join(parts)


def put_items(memory: FastMemory, rows: Mapping[int, bytes]) -> None:
    """Write rows of items, which the memory has grown to.

    Raises:
        ValueError: some bytes are no row, or of another memory; rows before it are written.
    """
    for row, data in rows.items():
        _put_item(memory, row, data)
    memory.risen(np.asarray(sorted(rows), dtype=np.int64))


def pack_session(memory: FastMemory, slot: int) -> bytes:
    """What the memory holds of a session."""
    sessions = memory.sessions
    items, times = sessions.events(slot)
    head = _SESSION.pack(int(sessions.keys[slot]), int(sessions.touched[slot]), len(items))
    return head + items.astype(_INT).tobytes() + times.astype(_DOUBLE, copy=False).tobytes()


def put_sessions(memory: FastMemory, rows: Mapping[int, bytes]) -> None:
    """Write rows of sessions, whichever was silent longest first.

    Where a row's slot is beyond the memory's sessions, all are given new ones, and the longest
    silent are left out; `rows` must then be all there are.

    Raises:
        ValueError: some bytes are no row, or of another memory; nothing is written.
    """
    found = [(slot, *_unpacked(memory, data)) for slot, data in rows.items()]
    found.sort(key=lambda row: row[2])
    capacity = memory.sessions.capacity
    if max(rows, default=0) >= capacity:
        found = [(at, *row[1:]) for at, row in enumerate(found[-capacity:])]
    for slot, key, number, items, times in found:
        memory.sessions.place(slot, key, number, items, times)


def _graphs(memory: FastMemory) -> tuple[Graph, Graph]:
    return memory.covisits, memory.rules


def _put_item(memory: FastMemory, row: int, data: bytes) -> None:
    if not 0 <= row < memory.num_items or len(data) < _ITEM.size:
        raise ValueError(f"row {row}: {len(data)} bytes are no item of {memory.num_items}")
    *numbers, first, second = _ITEM.unpack_from(data)
    sizes = (first, second)
    if len(data) != _ITEM.size + 8 * sum(sizes) or not np.isfinite(numbers).all():
        raise ValueError(f"row {row}: {len(data)} bytes are no item")
    counts = memory.counts
    counts.values[row] = numbers[:3]
    counts.times[row], counts.events[row] = numbers[3:5]
    at = _ITEM.size
    for graph, size, time in zip(_graphs(memory), sizes, numbers[5:], strict=True):
        neighbours = np.frombuffer(data, _INT, size, at)
        weights = np.frombuffer(data, _FLOAT, size, at + 4 * size)
        _check_items(memory, neighbours)
        graph.put(row, neighbours, weights, time)
        at += 8 * size


def _unpacked(memory: FastMemory, data: bytes) -> tuple[int, int, Ints, Floats]:
    if len(data) < _SESSION.size:
        raise ValueError(f"{len(data)} bytes are no session")
    key, number, size = _SESSION.unpack_from(data)
    if len(data) != _SESSION.size + 12 * size or number < 1:
        raise ValueError(f"{len(data)} bytes are no session of {size} events")
    items = np.frombuffer(data, _INT, size, _SESSION.size).astype(np.int64)
    _check_items(memory, items)
    return key, number, items, np.frombuffer(data, _DOUBLE, size, _SESSION.size + 4 * size)


def _check_items(memory: FastMemory, items: npt.NDArray[np.signedinteger]) -> None:
    if len(items) and not 0 <= int(items.min()) <= int(items.max()) < memory.num_items:
        raise ValueError(f"an item that is none of {memory.num_items}")
