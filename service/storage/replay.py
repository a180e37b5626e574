"""The replay buffer: a bounded uniform sample of all that was learned, kept in Redis.

It keeps the samples with the lowest keys (bottom-k). The keys are keyed hashes, uniform and beyond
the clients' choice, so what is kept is a uniform sample without replacement; admitting is
idempotent and does not depend on order; the buffers of two shards merge by admitting one's samples
into the other.

Source: bottom-k sketches, Cohen and Kaplan 2007. Deviation: a withdrawn window leaves a gap that
only later samples fill, since what it had displaced is gone; a rebuild from the archive is exact.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from importlib.resources import files
from itertools import islice
from typing import cast

import numpy as np
import redis

from models.interactions import Sample
from service.storage.connections import answering
from service.storage.keys import Keys
from service.storage.samples import pack, unpack

_CHUNK = 1_000


class ReplayBuffer:
    """A shard's buffer, written by the learner alone.

    Args:
        client: a client that returns bytes; see `service.storage.connections`.
        keys: names of the shard.
        size: samples kept at most.

    Every method raises `Unavailable` when the server does not answer.
    """

    def __init__(self, client: redis.Redis, keys: Keys, size: int) -> None:
        self._client = client
        self._size = size
        self._names = [keys.replay_order, keys.replay_samples, keys.replay_windows]
        self._admit = client.register_script((files("service.storage") / "replay.lua").read_text())

    def __len__(self) -> int:
        with answering("replay buffer"):
            return self._client.zcard(self._names[0])

    def admit(self, samples: Iterable[Sample], window_id: int) -> None:
        """Offer a window's samples; admitted again they change nothing."""
        rest = iter(samples)
        while chunk := list(islice(rest, _CHUNK)):
            args: list[bytes | str | int] = [self._size, window_id]
            for sample in chunk:
                args += (_name(sample.key), pack(sample))
            with answering("replay buffer"):
                self._admit(keys=self._names, args=args)

    def withdraw(self, window_ids: Collection[int]) -> int:
        """Take out the samples that these windows brought; returns how many."""
        taken = 0
        for window_id in window_ids:
            with answering("replay buffer"):
                names = self._client.zrangebyscore(self._names[2], window_id, window_id)
                taken += self._remove(cast(list[bytes], names))
        return taken

    def windows(self) -> set[int]:
        """The windows that samples in the buffer came from."""
        with answering("replay buffer"):
            found = self._client.zrange(self._names[2], 0, -1, withscores=True)
        return {int(window) for _, window in cast(list[tuple[bytes, float]], found)}

    def draw(self, n: int, seed: int) -> list[Sample]:
        """`n` samples without replacement, or all when there are fewer.

        The draw is a function of the content and the seed alone: candidates in the order of their
        keys, chosen by numpy's default generator.
        """
        with answering("replay buffer"):
            names = cast(list[bytes], self._client.zrange(self._names[0], 0, -1))
            chosen = np.random.default_rng(seed).choice(
                len(names), size=max(min(n, len(names)), 0), replace=False
            )
            return self._samples([names[at] for at in chosen])

    def samples(self) -> list[Sample]:
        """Everything kept, in the order of the keys."""
        with answering("replay buffer"):
            return self._samples(cast(list[bytes], self._client.zrange(self._names[0], 0, -1)))

    def clear(self) -> None:
        """Empty the buffer, before it is rebuilt from the archive."""
        with answering("replay buffer"):
            self._client.delete(*self._names)

    def size_bytes(self) -> int:
        """Memory it takes on the server, as the server estimates it."""
        with answering("replay buffer"):
            return sum(self._client.memory_usage(name) or 0 for name in self._names)

    def _samples(self, names: Sequence[bytes]) -> list[Sample]:
        found: list[Sample] = []
        for start in range(0, len(names), _CHUNK):
            packed = self._client.hmget(self._names[1], list(names[start : start + _CHUNK]))
            found += (unpack(one) for one in cast(list[bytes | None], packed) if one is not None)
        return found

    def _remove(self, names: list[bytes]) -> int:
        for start in range(0, len(names), _CHUNK):
            chunk = names[start : start + _CHUNK]
            with self._client.pipeline(transaction=True) as pipe:
                pipe.zrem(self._names[0], *chunk)
                pipe.hdel(self._names[1], *cast(list[str], chunk))
                pipe.zrem(self._names[2], *chunk)
                pipe.execute()
        return len(names)


def _name(key: int) -> str:
    """The key so that the order of the texts is the order of the numbers."""
    return f"{key:016x}"
