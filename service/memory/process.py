"""The fast memory as a process: `freshet memory`.

It ends only when told to. A store that goes away is waited for, with a growing pause and one line
in the log for each change. A batch in work is dropped at the end: it was not written, or it was.
"""

from __future__ import annotations

import threading
import time

from service.memory.keeper import Keeper
from service.memory.reading import reading
from service.memory.status import State, Status
from service.memory.stores import open_stores
from service.settings import Settings
from service.stopping import stopping_on_signals
from service.storage.connections import AWAY

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0


def run(settings: Settings) -> None:
    """Keep the memory until SIGTERM or SIGINT; returns when it has ended cleanly."""
    stop = threading.Event()
    with stopping_on_signals(stop), open_stores(settings) as stores:
        status = Status(stores.client, stores.keys)
        status.start()
        try:
            with reading(stores.catalogue, settings) as content:
                keeper = Keeper(stores, settings, status, content=content)
                follow(keeper, status, stop, settings.memory.commit_s)
        finally:
            status.stop()


def follow(keeper: Keeper, status: Status, stop: threading.Event, commit_s: float) -> None:
    """Turn after turn until `stop` is set.

    Args:
        commit_s: from the beginning of one turn to that of the next, while none is behind.
    """
    pause_s = _FIRST_PAUSE_S
    while not stop.is_set():
        started = time.monotonic()
        try:
            behind = keeper.turn()
        except AWAY as error:
            status.turn(State.DOWN, f"{type(error).__name__}: {error}"[:500])
            keeper.forget()
            stop.wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            continue
        pause_s = _FIRST_PAUSE_S
        if not behind:
            stop.wait(max(commit_s - (time.monotonic() - started), 0.0))
