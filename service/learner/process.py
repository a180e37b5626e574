"""The learner as a process: `freshet learner`.

It ends only when told to. A store that goes away is waited for, with a growing pause and one line
in the log for each change; SIGTERM abandons the window in work, which is safe: its bounds, seed and
draw are facts, and the next start does it again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress

import structlog
import torch

from models.registry import METHODS, found
from service.learner.learner import Learner
from service.learner.learning import Abandoned
from service.learner.status import State, Status
from service.learner.stores import open_stores
from service.settings import Settings
from service.stopping import stopping_on_signals
from service.storage.connections import AWAY

log = structlog.get_logger()

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 15.0


def run(settings: Settings) -> None:
    """Learn until SIGTERM or SIGINT; returns when it has ended cleanly."""
    torch.set_num_threads(settings.learner.threads or os.cpu_count() or 1)
    warn_of_unused(settings)
    stop = threading.Event()
    with stopping_on_signals(stop), open_stores(settings) as stores:
        status = Status(stores.client, stores.keys)
        status.start()
        try:
            follow(lambda: Learner(stores, settings, status, stop=stop), status, stop, settings)
        finally:
            status.stop()


def warn_of_unused(settings: Settings) -> None:
    """Say which parameters change nothing, as their method is not named, and which methods."""
    learning = settings.learning
    for name in learning.unused:
        log.warning("parameters of a method that is not among the methods", method=name)
    for name in learning.methods:
        if reason := found("methods", name, METHODS).idle(learning):
            log.warning("a method that does nothing as it is set", method=name, reason=reason)


def follow(
    make: Callable[[], Learner], status: Status, stop: threading.Event, settings: Settings
) -> None:
    """Turn after turn until `stop` is set.

    Args:
        make: builds the learner, which needs the database; tried until it is there.
    """
    learner: Learner | None = None
    pause_s = _FIRST_PAUSE_S
    while not stop.is_set():
        try:
            learner = learner or make()
            worked = learner.turn()
        except Abandoned:
            break
        except AWAY as error:
            status.turn(State.DOWN, f"{type(error).__name__}: {error}"[:500])
            if learner is not None:
                learner.forget()
            stop.wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            continue
        pause_s = _FIRST_PAUSE_S
        if not worked:
            stop.wait(settings.learner.poll_s)
    if learner is not None:
        with suppress(*AWAY):
            learner.close()
