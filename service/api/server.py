"""The process of one api replica: uvicorn, uvloop, httptools, and a way out that drops nobody.

On SIGTERM the replica first says that it is not ready and closes each connection with its next
answer, for `drain_s`, so that balancers look elsewhere; then it stops accepting, finishes what it
has begun, at most `_FINISH_S` long, and ends with status 0. SIGINT skips the first part, a second
signal the rest.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from types import FrameType

import torch
import uvicorn

from service import logs
from service.api.app import create_app
from service.api.drain import Drain
from service.api.keyring import check_access
from service.settings import Settings

_FINISH_S = 10


class Server(uvicorn.Server):
    """A server that drains before it shuts down."""

    def __init__(self, config: uvicorn.Config, drain: Drain, drain_s: float) -> None:
        super().__init__(config)
        self._drain = drain
        self._drain_s = drain_s

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by the signal, between any two instructions of the main thread."""
        if self.should_exit or self._drain.draining:
            self.should_exit = self.force_exit = True
        elif sig == signal.SIGTERM and self._drain_s > 0 and self.started:
            self._drain.begin()
            asyncio.get_running_loop().call_soon_threadsafe(self._leave_later)
        else:
            self._drain.begin()
            self.should_exit = True

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Start; then what stands is for good, and no collection need look at it."""
        await super().startup(sockets)  # type: ignore[arg-type]
        gc.collect()
        gc.freeze()

    def _leave_later(self) -> None:
        asyncio.get_running_loop().call_later(self._drain_s, self._leave)

    def _leave(self) -> None:
        self.should_exit = True


def run(settings: Settings) -> None:
    """Serve until told to stop.

    Raises:
        SettingsError: the replica cannot work as it is set up.
    """
    torch.set_num_threads(1)
    logs.configure(settings)
    check_access(settings)
    drain = Drain()
    config = uvicorn.Config(
        create_app(settings, drain),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_FINISH_S,
    )
    Server(config, drain, settings.serving.drain_s).run()
