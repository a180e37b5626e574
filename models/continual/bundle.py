"""A learning state as tensors, ids and plain values, and back, to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.continual.memory import Band, Probes, StreamMemory
from models.interactions import Histories, Sample
from models.parameters import Bundle
from models.vocabulary import Vocabulary

__all__ = ["Bundle", "memory_from", "memory_meta", "memory_tensors"]


def memory_tensors(
    memory: StreamMemory, items: Vocabulary, users: Vocabulary
) -> tuple[dict[str, Tensor], list[str]]:
    """The memory in rows, and the names of event types that its numbers stand for."""
    types: dict[str, int] = {}
    tensors = {f"histories.{k}": v for k, v in _histories(memory.histories, items, users).items()}
    for name, samples in (("probes", memory.probes.samples), ("pending", memory.pending)):
        packed = _samples(samples, items, users, types)
        tensors |= {f"{name}.{part}": tensor for part, tensor in packed.items()}
    return tensors, list(types)


def memory_meta(memory: StreamMemory) -> dict[str, Any]:
    """What of the memory is plain values."""
    probes = memory.probes
    skipped = [[at, list(one.skipped)] for at, one in enumerate(memory.pending) if one.skipped]
    return {
        "bands": [[b.windows, b.from_ms, b.until_ms, len(b.samples)] for b in probes.bands],
        **({"skipped": skipped} if skipped else {}),  # by id: an item may be nobody's
    }


def memory_from(
    tensors: dict[str, Tensor],
    meta: dict[str, Any],
    types: Sequence[str],
    items: Vocabulary,
    users: Vocabulary,
    sizes: tuple[int, int, int],
) -> StreamMemory:
    """The inverse of `memory_tensors` and `memory_meta`.

    Args:
        tensors: as made there.
        meta: as made there.
        types: names of event types.
        items: the vocabulary the rows belong to.
        users: the same for users.
        sizes: length of histories, probe queries and probe bands, as configured now.
    """
    length, queries, max_bands = sizes
    probes = _samples_from(tensors, "probes", types, items, users)
    bands, first = [], 0
    for windows, from_ms, until_ms, count in meta["bands"]:
        bands.append(Band(windows, from_ms, until_ms, tuple(probes[first : first + count])))
        first += count
    pending = _samples_from(tensors, "pending", types, items, users)
    for at, skipped in meta.get("skipped", ()):
        pending[at] = replace(pending[at], skipped=tuple(skipped))
    return StreamMemory(
        histories=_histories_from(tensors, length, items, users),
        probes=Probes(queries, max_bands, tuple(bands)),
        pending=tuple(pending),
    )


def _offsets(lengths: Sequence[int]) -> Tensor:
    return torch.from_numpy(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype("i8"))


def _histories(histories: Histories, items: Vocabulary, users: Vocabulary) -> dict[str, Tensor]:
    owners = list(histories.users())
    rows = items.rows(item for user in owners for item in histories[user])
    return {
        "users": torch.from_numpy(users.rows(owners)),
        "offsets": _offsets([len(histories[user]) for user in owners]),
        "items": torch.from_numpy(rows.astype(np.int32)),
    }


def _histories_from(
    tensors: dict[str, Tensor], length: int, items: Vocabulary, users: Vocabulary
) -> Histories:
    rows, offsets = tensors["histories.items"].tolist(), tensors["histories.offsets"].tolist()
    found: dict[str, tuple[str, ...]] = {}
    for place, user in enumerate(tensors["histories.users"].tolist()):
        kept = rows[offsets[place] : offsets[place + 1]][-length:]
        found[users.id(user)] = tuple(items.id(row) for row in kept)
    return Histories(length, found)


def _samples(
    samples: Sequence[Sample], items: Vocabulary, users: Vocabulary, types: dict[str, int]
) -> dict[str, Tensor]:
    kinds = [types.setdefault(kind, len(types)) for s in samples for kind in s.types]
    weights = [weight for sample in samples for weight in sample.weights]
    keys = np.asarray([sample.key & 0xFFFF_FFFF_FFFF_FFFF for sample in samples], np.uint64)
    return {
        "items": torch.from_numpy(items.rows(item for s in samples for item in s.item_ids)),
        "offsets": _offsets([len(sample.item_ids) for sample in samples]),
        "num_targets": torch.tensor([s.num_targets for s in samples], dtype=torch.int64),
        "users": torch.from_numpy(users.rows(sample.user_id for sample in samples)),
        "types": torch.tensor(kinds, dtype=torch.int32),
        "weights": torch.tensor(weights, dtype=torch.float64),
        "keys": torch.from_numpy(keys.view(np.int64)),
        "times_ms": torch.tensor([sample.time_ms for sample in samples], dtype=torch.int64),
    }


def _samples_from(
    tensors: dict[str, Tensor],
    name: str,
    types: Sequence[str],
    items: Vocabulary,
    users: Vocabulary,
) -> list[Sample]:
    part = {
        key: tensors[f"{name}.{key}"].tolist()
        for key in ("items", "offsets", "num_targets", "users", "types", "weights", "times_ms")
    }
    keys = tensors[f"{name}.keys"].numpy().view(np.uint64).tolist()
    samples, target = [], 0
    for place, count in enumerate(part["num_targets"]):
        first, last = part["offsets"][place], part["offsets"][place + 1]
        samples.append(
            Sample(
                user_id=users.id(part["users"][place]),
                item_ids=tuple(items.id(row) for row in part["items"][first:last]),
                num_targets=count,
                types=tuple(types[kind] for kind in part["types"][target : target + count]),
                weights=tuple(part["weights"][target : target + count]),
                key=keys[place],
                time_ms=part["times_ms"][place],
            )
        )
        target += count
    return samples
