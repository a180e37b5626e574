"""Around every request: the raw path, a request id, a log line, metrics, and the last resort."""

from __future__ import annotations

import re
import secrets
import time

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import problems
from service.api.drain import Drain
from service.logs import get_logger
from service.telemetry import Metrics

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:+/=@-]{1,128}")
_GONE = 499
"""In metrics and log lines: the caller went away before there was an answer."""
_QUIET_ROUTES = frozenset({"/healthz", "/readyz", "/metrics"})

log = get_logger("http")


class Envelope:
    """ASGI middleware, outermost.

    Paths are matched as they travel: routing sees the percent-encoded path, so that an id that
    holds a `/` (`%2F`) stays one segment; path parameters are decoded where they are validated.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, drain: Drain) -> None:
        self._app = app
        self._metrics = metrics
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope["path"] = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
        scope.setdefault("state", {})["log"] = {}
        started = time.perf_counter()
        status = 0

        async def send_wrapped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id)]
                if self._drain.draining:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            await self._app(scope, receive, send_wrapped)
        except ClientDisconnect:
            status = status or _GONE
        except Exception:  # the last resort: a problem document instead of a bare 500
            log.exception("a request failed", request_id=request_id.decode())
            if status:
                raise
            await problems.unexpected()(scope, receive, send_wrapped)
        finally:
            self._record(scope, request_id, status, time.perf_counter() - started)

    def _record(self, scope: Scope, request_id: bytes, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if route != "none" else "any"
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.request_seconds.labels(method, route).observe(seconds)
        if route not in _QUIET_ROUTES:
            log.info(
                "request",
                request_id=request_id.decode(),
                method=method,
                route=route,
                status=status,
                ms=round(seconds * 1000, 2),
                **scope["state"]["log"],
            )


def _request_id(scope: Scope) -> bytes:
    """The caller's id when it is short and plain, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return bytes(value)
    return secrets.token_hex(12).encode()
