"""What asks a running api: requests as they travel, a load of many at once, and what it met."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

CONNECTIONS = 16
ROUND_S = 1.0


@dataclass
class Load:
    """What a load met."""

    seconds: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    failed: int = 0

    @property
    def rate(self) -> float:
        return len(self.latencies_s) / self.seconds

    def at(self, share: float) -> float:
        """The latency in seconds that `share` of the requests did not exceed."""
        ordered = sorted(self.latencies_s)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def get(path: str) -> bytes:
    """A GET request as it travels."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def post(path: str, body: Any) -> bytes:
    """A POST request as it travels."""
    content = orjson.dumps(body)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


def call(port: int, method: str, path: str, body: Any = None) -> Any:
    """One request and its JSON answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        method=method,
        data=None if body is None else orjson.dumps(body),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return orjson.loads(answer.read())


async def load(
    port: int,
    requests: Sequence[bytes],
    *,
    connections: int = CONNECTIONS,
    seconds: float = ROUND_S,
    check: Callable[[bytes], None] | None = None,
) -> Load:
    """Ask `requests` in turn on each of `connections`, each as soon as it has its answer.

    Args:
        check: sees the body of each answer.
    """
    found = Load()
    started = time.perf_counter()

    async def client(offset: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        place = offset * 7919
        while time.perf_counter() - started < seconds:
            began = time.perf_counter()
            writer.write(requests[place % len(requests)])
            status, body = await _answer(reader)
            found.latencies_s.append(time.perf_counter() - began)
            found.failed += status not in (200, 202)
            if check is not None and status == 200:
                check(body)
            place += 1
        writer.close()

    await asyncio.gather(*(client(offset) for offset in range(connections)))
    found.seconds = time.perf_counter() - started
    return found


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
    return int(head[9:12]), await reader.readexactly(length)
