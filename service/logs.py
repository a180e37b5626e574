"""Log lines: structlog set up once per process, as JSON or for a terminal.

Lines carry no bodies and no keys, and user ids as keyed hashes only (`user_mark`).
"""

from __future__ import annotations

import hashlib
import logging
import sys
from typing import Any

import structlog

from service.settings import Settings


def configure(settings: Settings) -> None:
    """Send all lines of this process to stderr in the format and from the level that are set."""
    console = settings.log_format == "console" or (
        settings.log_format == "auto" and sys.stderr.isatty()
    )
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    _route_standard_logging(level, [*shared, *rendering])


def _route_standard_logging(level: int, processors: list[structlog.typing.Processor]) -> None:
    """Lines of libraries (uvicorn, alembic …) take the same road, from warnings up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *processors[1:],
            ]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))


def get_logger(room: str) -> Any:
    """A logger whose lines name the room of the service that wrote them."""
    return structlog.get_logger(room=room)


def user_mark(secret: bytes, user_id: str) -> str:
    """A keyed hash of a user id, 12 hex digits: lines of one user are found, the user is not."""
    return hashlib.blake2b(user_id.encode(), key=secret, digest_size=6).hexdigest()
