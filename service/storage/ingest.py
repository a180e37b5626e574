"""Taking events in: the packed log entry and the users' histories, in one atomic step.

One call of one server-side script per request. Sent twice, a batch leaves two log entries (whose
repeats every reader drops) and one member each in the histories. Popularity counts each event once,
too, for as long as its user's history holds it; one that the history had no room for counts each
time it is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha1
from importlib.resources import files
from typing import cast

import redis
import redis.asyncio
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
)

from service.domain.interactions import Interaction, Position
from service.domain.weights import EventWeights
from service.errors import Backpressure, Conflict, OutcomeUnknown
from service.sections import LogSettings
from service.storage import entries
from service.storage.clock import DAY_MS, now_ms
from service.storage.imports import Mark
from service.storage.keys import Keys
from service.storage.plan import make_plan

_REFUSED = (OutOfMemoryError, ReadOnlyError, BusyLoadingError, MasterDownError, ClusterDownError)
_REFUSED_TEXT = ("OOM", "READONLY", "MISCONF", "NOREPLICAS")


class Ingest:
    """Appends accepted interactions to one shard.

    Args:
        client: a client without silent retries; see `service.storage.connections`.
        keys: names of the shard.
        settings: sizes, lives and the deadline.
        weights: which events count as popularity.
        clock: Unix milliseconds.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        keys: Keys,
        settings: LogSettings,
        weights: EventWeights,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._client = client
        self._keys = keys
        self._settings = settings
        self._weights = weights
        self._clock = clock
        self._script = (files("service.storage") / "ingest.lua").read_text()
        self._digest = sha1(self._script.encode(), usedforsecurity=False).hexdigest()

    async def append(
        self, interactions: Sequence[Interaction], mark: Mark | None = None
    ) -> Position:
        """Append a batch: all of it or nothing.

        Args:
            mark: the lines that the batch is, for one of an import: the file's record moves in the
                same step.

        Returns:
            The position of its log entry.

        Raises:
            Conflict: the file's record does not stand at `mark.before`; nothing was kept.
            Backpressure: the log is full, cannot be reached or cannot persist; nothing was kept.
            OutcomeUnknown: no answer came in time; the batch may be in the log. The same events
                with the same ids can be sent again without harm.
        """
        keys, args = self._call(interactions, mark)
        try:
            entry_id = await self._run(keys, args)
        except (redis.RedisError, OSError, TimeoutError) as error:
            raise _outcome(error) from error
        if entry_id is None:
            raise Backpressure("the event log is full: learning is behind")
        if isinstance(entry_id, int):
            raise Conflict(
                "the record of this file is not where this import left it: another import of it is"
                " at work, or the log was replaced; import it again"
            )
        return Position.parse(entry_id.decode())

    async def _run(self, keys: list[str], args: list[str | bytes | int]) -> bytes | int | None:
        try:
            answer = await self._client.evalsha(self._digest, len(keys), *keys, *args)
        except NoScriptError:  # nothing has run: sending it whole is no second append
            answer = await self._client.eval(self._script, len(keys), *keys, *args)
        return cast(bytes | int | None, answer)

    def _call(
        self, interactions: Sequence[Interaction], mark: Mark | None
    ) -> tuple[list[str], list[str | bytes | int]]:
        """KEYS and ARGV of the script."""
        keys, plan = make_plan(interactions, self._keys, self._weights, self._clock())
        args: list[str | bytes | int] = [
            self._settings.max_entries,
            entries.FORMAT,
            entries.pack(interactions),
            len(interactions),
            self._settings.history_size,
            self._settings.history_days * DAY_MS,
            self._settings.named_items,
            plan,
        ]
        if mark is None:
            return keys, args
        life_ms = self._settings.import_days * DAY_MS
        return [*keys, self._keys.import_record(mark.digest)], [
            *args,
            mark.before,
            mark.after,
            life_ms,
        ]


def _outcome(error: Exception) -> Backpressure | OutcomeUnknown:
    """What a failed append means for its batch."""
    if isinstance(error, _REFUSED) or str(error).startswith(_REFUSED_TEXT):
        return Backpressure("the event log cannot persist at the moment")
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError | FileNotFoundError):
            return Backpressure("the event log cannot be reached")
        cause = cause.__cause__ or cause.__context__
    return OutcomeUnknown("the event log did not answer in time: send the same events again")
