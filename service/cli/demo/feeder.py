"""Streams a source into the service by HTTP, at a pace, and remembers how far it came."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx

from service.cli.demo.source import Row, Source
from service.errors import SettingsError

_LARGEST_BATCH: Final = 500
_BATCHES_PER_S: Final = 5.0
_RETRY_S: Final = 0.5
_LOOK_S: Final = 0.1
_STORIES: Final = 500


def check_directory(state: Path, source: Source) -> None:
    """See that no other source was streamed into the service whose places are kept in `state`.

    Raises:
        SettingsError: one was, and the model would know both.
    """
    others = [path.stem for path in state.glob("*.json") if path.stem != source.digest]
    if others:
        raise SettingsError(
            f"{state.parent} holds what was learned from another source ({others[0]}): name "
            "another directory with --data-dir, or none, and each source has its own"
        )


class Feeder(threading.Thread):
    """A thread that posts rows, in order, each until it is acknowledged.

    Event ids are made of the source's digest and the row's number. So a batch whose answer was
    lost is sent again without being learned twice, and a second demo goes on where this one stops.

    Args:
        api: base address of the service.
        source: what is streamed.
        state: a directory in which the number of the next row is kept.
        rate: events per second; None is as fast as the service takes them.
        must_wait: asked before each batch; while it holds, nothing is sent.
    """

    def __init__(
        self,
        api: str,
        source: Source,
        state: Path,
        rate: float | None,
        must_wait: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(name="feeder", daemon=True)
        self._api = api
        self._source = source
        self._state = state / f"{source.digest}.json"
        self._rate = rate
        self._must_wait = must_wait
        self._enough = threading.Event()
        self._latest: dict[str, int] = {}
        self.start_number = self._read_state()
        self.next_number = self.start_number
        self.trouble: str | None = None
        """Why nothing moves, while nothing moves."""
        self.refused: str | None = None
        """What the service said to a batch that it will never take; ends the stream."""
        self.error: Exception | None = None
        """What went wrong in reading the source or in here; ends the stream."""
        self._stories: deque[tuple[int, tuple[str, ...]]] = deque(maxlen=_STORIES)

    @property
    def accepted(self) -> int:
        """Events acknowledged by the service since this feeder began."""
        return self.next_number - self.start_number

    def story(self, until: int) -> tuple[str, ...]:
        """Items that one user has lately gone through, for the demo's guest to follow.

        Args:
            until: the latest story before this number of a row, so that the items are known to
                whoever has learned so far; the oldest kept when there is none.
        """
        kept = tuple(self._stories)
        known = [items for number, items in kept if number <= until]
        return known[-1] if known else kept[0][1] if kept else ()

    def stop(self) -> None:
        """End after the batch in hand."""
        self._enough.set()

    def run(self) -> None:
        """Post until the source or the time is over; what goes wrong is kept for who asks."""
        try:
            self._stream()
        except Exception as error:
            self.error = error

    def _stream(self) -> None:
        due_s, rows = time.monotonic(), self._source.rows(self.next_number)
        with httpx.Client(base_url=self._api, timeout=10.0) as client:
            for batch in self._batches(rows):
                while self._must_wait() and not self._enough.wait(_LOOK_S):
                    due_s = time.monotonic()
                if self._enough.is_set() or not self._post(client, batch):
                    return
                self._tell(batch)
                if self._rate is not None:
                    due_s += len(batch) / self._rate
                    self._enough.wait(max(0.0, due_s - time.monotonic()))

    def _batches(self, rows: Iterator[Row]) -> Iterator[list[Row]]:
        size = _LARGEST_BATCH
        if self._rate is not None:
            size = max(1, min(size, round(self._rate / _BATCHES_PER_S)))
        while batch := list(itertools.islice(rows, size)):
            yield batch

    def _post(self, client: httpx.Client, batch: Sequence[Row]) -> bool:
        """Send until it is acknowledged; False when that will not happen."""
        body = {"events": [self._event(row) for row in batch]}
        while not self._enough.is_set():
            try:
                answer = client.post("/v1/events", json=body)
            except httpx.HTTPError as error:
                self.trouble = f"no answer ({type(error).__name__}); sending again"
                self._enough.wait(_RETRY_S)
                continue
            if answer.status_code == 202:
                self.trouble = None
                self.next_number = batch[-1].number + 1
                self._write_state()
                return True
            if answer.status_code not in (429, 500, 502, 503):
                self.refused = f"{answer.status_code} {answer.text[:300]}"
                return False
            self.trouble = f"the service asks to wait ({answer.status_code})"
            self._enough.wait(float(answer.headers.get("Retry-After", _RETRY_S)))
        return False

    def _event(self, row: Row) -> dict[str, Any]:
        """The row as if it happened now; a user's events keep their order by a millisecond each."""
        now_ms = time.time_ns() // 1_000_000
        time_ms = max(now_ms, self._latest.get(row.user_id, 0) + 1)
        self._latest[row.user_id] = time_ms
        moment = datetime.fromtimestamp(time_ms / 1000, UTC)
        event = {
            "user_id": row.user_id,
            "item_id": row.item_id,
            "type": row.type,
            "timestamp": moment.isoformat(timespec="milliseconds"),
            "event_id": f"{self._source.digest}-{row.number}",
        }
        return event if row.value is None else {**event, "value": row.value}

    def _tell(self, batch: Sequence[Row]) -> None:
        """Keep the longest walk of one user in this batch for the guest."""
        walks: dict[str, list[str]] = {}
        for row in batch:
            walk = walks.setdefault(row.user_id, [])
            if row.item_id not in walk:
                walk.append(row.item_id)
        longest = max(walks.values(), key=len)
        if len(longest) >= 3:
            self._stories.append((batch[-1].number + 1, tuple(longest)))

    def _read_state(self) -> int:
        try:
            return int(json.loads(self._state.read_text())["next"])
        except (FileNotFoundError, ValueError, KeyError):
            return 0

    def _write_state(self) -> None:
        self._state.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._state.with_suffix(".new")
        temporary.write_text(json.dumps({"next": self.next_number}))
        temporary.replace(self._state)
