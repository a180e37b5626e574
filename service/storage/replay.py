"""The replay buffer: a bounded uniform sample of all that was learned, kept in Redis.

What is kept is the rule of `models.continual.buffer.Buffer`: the samples with the lowest keys, as
many as fit into so many samples and bytes. The keys are keyed hashes, uniform and beyond the
clients' choice, so this is a uniform sample without replacement; admitting is idempotent and does
not depend on order.

Beside the samples stands the version that the buffer stands for: it holds what that version and
its ancestors have learned. When that is not where learning goes on, the buffer is rebuilt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from itertools import islice
from typing import cast

import redis

from models.continual.buffer import NO_BAR, BottomK, draw_rule
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
        max_bytes: bytes of these at most, as they are stored; 0 is no bound. A bound that has
            changed takes effect at the next admission.

    Every method raises `Unavailable` when the server does not answer.
    """

    def __init__(self, client: redis.Redis, keys: Keys, size: int, max_bytes: int = 0) -> None:
        self._client = client
        self._size = size
        self._max_bytes = max_bytes
        self._names = [
            keys.replay_order,
            keys.replay_samples,
            keys.replay_windows,
            keys.replay_bounds,
        ]
        self._version = keys.replay_version
        self._admit = client.register_script((files("service.storage") / "replay.lua").read_text())

    def __len__(self) -> int:
        with answering("replay buffer"):
            return self._client.zcard(self._names[0])

    @property
    def size(self) -> int:
        """Samples kept at most."""
        return self._size

    @property
    def max_bytes(self) -> int:
        """Bytes of samples kept at most; 0 is no bound."""
        return self._max_bytes

    def version(self) -> int | None:
        """The version that it stands for; None when that is not known, or nothing is there."""
        with answering("replay buffer"):
            found = cast(bytes | None, self._client.get(self._version))
            return int(found) if found and self._client.exists(self._names[0]) else None

    def stand_for(self, version: int) -> None:
        """All that `version` and its ancestors have learned has been offered."""
        with answering("replay buffer"):
            self._client.set(self._version, version)

    def admit(self, samples: Iterable[Sample], window_id: int = 0) -> None:
        """Offer a window's samples; admitted again they change nothing."""
        self._offer(samples, window_id, self._names)

    def replace(self, kept: BottomK, version: int) -> None:
        """Take what `kept` holds in the place of everything, at one blow.

        Args:
            kept: of the same bounds, offered all that `version` and its ancestors have learned.
        """
        built = [f"{name}:new" for name in self._names]
        with answering("replay buffer"):
            self._client.delete(*built)
        for window_id, some in kept.by_window().items():
            self._offer(some, window_id, built)
        with answering("replay buffer"), self._client.pipeline(transaction=True) as pipe:
            pipe.delete(*self._names)
            if len(kept):
                pipe.hset(built[-1], "largest", kept.largest)
                if kept.bar < NO_BAR:
                    pipe.hset(built[-1], "bar", _name(kept.bar))
                for new, name in zip(built, self._names, strict=True):
                    pipe.rename(new, name)
            pipe.set(self._version, version)
            pipe.execute()

    def windows(self) -> set[int]:
        """The windows that samples in the buffer came from."""
        with answering("replay buffer"):
            found = self._client.zrange(self._names[2], 0, -1, withscores=True)
        return {int(window) for _, window in cast(list[tuple[bytes, float]], found)}

    def draw(self, n: int, seed: int) -> list[Sample]:
        """`n` samples without replacement, or all when there are fewer.

        The draw is a function of the content and the seed alone: see `draw_rule`.
        """
        with answering("replay buffer"):
            names = cast(list[bytes], self._client.zrange(self._names[0], 0, -1))
            return self._samples(draw_rule(names, n, seed))

    def samples(self) -> list[Sample]:
        """Everything kept, in the order of the keys."""
        with answering("replay buffer"):
            return self._samples(cast(list[bytes], self._client.zrange(self._names[0], 0, -1)))

    def stored_bytes(self) -> int:
        """Bytes of the samples kept, by `models.continual.buffer.sample_bytes`."""
        with answering("replay buffer"):
            found = cast(bytes | None, self._client.hget(self._names[-1], "bytes"))
        return int(found or 0)

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

    def _offer(self, samples: Iterable[Sample], window_id: int, names: Sequence[str]) -> None:
        rest = iter(samples)
        while chunk := list(islice(rest, _CHUNK)):
            args: list[bytes | str | int] = [self._size, self._max_bytes, window_id]
            for sample in chunk:
                args += (_name(sample.key), pack(sample))
            with answering("replay buffer"):
                self._admit(keys=list(names), args=args)


def _name(key: int) -> str:
    """The key so that the order of the texts is the order of the numbers."""
    return f"{key:016x}"
