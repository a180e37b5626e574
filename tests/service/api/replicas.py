"""A replica in a thread of the test, behind a real socket and a real HTTP parser."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
import uvicorn
from fastapi import FastAPI

from service.api.app import create_app
from service.settings import Settings


class FailedStart(Exception):
    """The application did not start."""


@contextmanager
def running(app: FastAPI) -> Iterator[httpx.Client]:
    """Serve `app` on a loopback port of its own.

    Raises:
        FailedStart: its lifespan failed.
    """
    config = uvicorn.Config(
        app, port=0, log_config=None, access_log=False, timeout_graceful_shutdown=2
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=_run, args=(server,), daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise FailedStart
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def _run(server: uvicorn.Server) -> None:
    with suppress(SystemExit):  # how uvicorn says that the application did not start
        server.run()


@contextmanager
def replica(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a replica with `settings`."""
    with running(create_app(settings)) as client:
        yield client
