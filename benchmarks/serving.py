"""Requests per second and latency of the api, as ratios to a plain Starlette route.

One worker each, as many connections each, in interleaved rounds of one run, asked by the same raw
client. The reference answers the bytes of a recommendation without making them. The model knows
10,000 items; histories hold 20. What is mixed is asked of a second api with a fast memory beside
it, which is idle by then; the first has none, and its network answers alone.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import orjson

from benchmarks.client import Load, call, get, load, post
from benchmarks.figures import Figure
from service.cli.embedded import EmbeddedRedis
from service.settings import Settings

ITEMS = 10_000
USERS = 500
HISTORY = 20
ROUNDS = 5


def run() -> Iterator[Figure]:
    """The hot routes; ratios to the plain route."""
    with (
        replica() as (settings, _),
        replica(remembering=True) as (mixing, _),
        _reference() as reference_port,
    ):
        post_histories(settings.port)
        post_histories(mixing.port)
        _await_memory(mixing.port)
        wanted = "/v1/users/u{n}/recommendations?limit=20"
        ways = {
            "plain Starlette route": (reference_port, [get("/")]),
            "recommendations, a user with history": (
                settings.port,
                [get(wanted.format(n=n)) for n in range(USERS)],
            ),
            "recommendations, a user with history, mixed": (
                mixing.port,
                [get(wanted.format(n=n)) for n in range(USERS)],
            ),
            "recommendations, an unknown user": (
                settings.port,
                [get(wanted.format(n=f"-unknown{n}")) for n in range(USERS)],
            ),
            "one event": (settings.port, [post("/v1/events", events_of(n, 1)) for n in range(50)]),
            "events by 100": (
                settings.port,
                [post("/v1/events", events_of(n, 100)) for n in range(50)],
            ),
        }
        rounds: dict[str, list[Load]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, (port, requests) in ways.items():
                rounds[name].append(asyncio.run(load(port, requests)))
    yield from _figures(rounds)


def _figures(rounds: dict[str, list[Load]]) -> Iterator[Figure]:
    rates = {name: statistics.median(one.rate for one in found) for name, found in rounds.items()}
    reference = next(iter(rates))
    for name, found in rounds.items():
        if failed := sum(one.failed for one in found):
            raise RuntimeError(f"{name}: {failed} requests failed; their speed says nothing")
        ratio = None if name == reference else rates[name] / rates[reference]
        yield Figure(name, rates[name], "requests/s", ratio, "" if ratio is None else reference)
        yield Figure("  p50", statistics.median(one.at(0.5) for one in found) * 1000, "ms")
        yield Figure("  p99", statistics.median(one.at(0.99) for one in found) * 1000, "ms")


def events_of(request: int, count: int) -> dict[str, Any]:
    """A batch of `count` clicks of as many users."""
    return {
        "events": [
            {
                "user_id": f"writer{(request * 31 + n) % USERS}",
                "item_id": f"i{(request * 7 + n) % ITEMS}",
            }
            for n in range(count)
        ]
    }


@contextmanager
def replica(
    versions: int = 1, *, remembering: bool = False
) -> Iterator[tuple[Settings, Sequence[int]]]:
    """An api in a process of its own, with an embedded log, SQLite and published versions.

    Args:
        remembering: with a fast memory, in a process of its own as well.
    """
    with (
        tempfile.TemporaryDirectory(prefix="freshet-bench-") as directory,
        EmbeddedRedis(Path(directory), fsync="everysec") as server,
    ):
        settings = Settings(
            _env_file=None,
            redis_url=server.url,
            data_dir=Path(directory),
            port=_free_port(),
            log_level="error",
        )
        published = _publish(settings, versions)
        with _process(partial(_serve, settings), settings.port, "/readyz"):
            _await_version(settings.port, published[-1])
            with _running(partial(_remember, settings)) if remembering else nullcontext():
                yield settings, published


def post_histories(port: int) -> None:
    """Give every user a history of 20 items."""
    for first in range(0, USERS, 50):
        events = [
            {"user_id": f"u{user}", "item_id": _item_of(user, n)}
            for user in range(first, first + 50)
            for n in range(HISTORY)
        ]
        call(port, "POST", "/v1/events", {"events": events})


def _item_of(user: int, step: int) -> str:
    return f"i{(user * 17 + step * 29) % ITEMS}"


def _publish(settings: Settings, versions: int) -> list[int]:
    """Register versions that know all items; none of them has learned for long."""
    from models.continual.state import LearningState
    from models.continual.window import learn_window
    from models.interactions import Event
    from service.domain.interactions import Position
    from service.domain.versions import Origin
    from service.storage import database
    from service.storage.checkpoints import CheckpointStore
    from service.storage.registry import Registry

    database.migrate(database.database_url(settings))
    engine = database.connect(database.database_url(settings))
    registry, published = Registry(engine), []
    state = LearningState.initial(settings.learning)
    for version in range(versions):
        events = [
            Event(f"t{n % 1000}", f"i{n}", "click", 1.0, n, key=n * 2 + version, user_key=1 << 63)
            for n in range(ITEMS)
        ]
        state = learn_window(state, events, seed=version, draw=()).state
        number = registry.next_version()
        digest = CheckpointStore(settings.data_dir / "checkpoints").write(
            number, state.export(), {}
        )
        registry.publish(
            registry.head(),
            (),
            version=number,
            origin=Origin.INCREMENTAL,
            position=Position(1 + version, 0),
            digest=digest,
            strategy={},
            metrics={},
            gate={},
        )
        published.append(number)
    engine.dispose()
    return published


@contextmanager
def _reference() -> Iterator[int]:
    port = _free_port()
    with _process(partial(_serve_reference, port), port, "/"):
        yield port


@contextmanager
def _process(target: Callable[[], None], port: int, path: str) -> Iterator[None]:
    with _running(target) as process:
        until = time.monotonic() + 120
        while not _answers(port, path):
            if time.monotonic() > until or not process.is_alive():
                raise RuntimeError("the server did not start")
            time.sleep(0.1)
        yield


@contextmanager
def _running(target: Callable[[], None]) -> Iterator[BaseProcess]:
    process = multiprocessing.get_context("spawn").Process(target=target, daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def _answers(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _await_version(port: int, version: int) -> None:
    until = time.monotonic() + 60
    while call(port, "GET", "/v1/users/u/recommendations")["model_version"] != version:
        if time.monotonic() > until:
            raise RuntimeError(f"version {version} was not taken")
        time.sleep(0.01)


def _await_memory(port: int) -> None:
    """Wait until the api has mirrored all that `post_histories` has told."""
    told = len({_item_of(user, step) for user in range(USERS) for step in range(HISTORY)})
    until = time.monotonic() + 60
    while call(port, "GET", "/v1/admin/status")["mirror"]["items"] < told:
        if time.monotonic() > until:
            raise RuntimeError("the memory did not catch up")
        time.sleep(0.1)


def _remember(settings: Settings) -> None:
    from service import logs
    from service.memory.process import run as remember

    logs.configure(settings)
    remember(settings)


def _serve(settings: Settings) -> None:
    from service.api.server import run as serve

    serve(settings)


def _serve_reference(port: int) -> None:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    items = [{"item_id": f"i{n}", "score": 3.0 - n / 10, "source": "model"} for n in range(20)]
    body = orjson.dumps({"recommendation_id": "r-0", "model_version": 1, "items": items})

    async def answer(request: Request) -> Response:
        return Response(body, media_type="application/json")

    uvicorn.run(
        Starlette(routes=[Route("/", answer)]),
        port=port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="error",
    )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
