"""What a process must settle before anything else: threads, memory, settings, and its parent."""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import to_jsonable_python as jsonable
from pydantic_settings import SettingsError as UnreadableSetting

from service import variables
from service.errors import SettingsError
from service.settings import Settings

EXIT_SETUP: Final = 2
"""Exit status of a process that cannot work as it is set up; starting it again is no remedy."""

EXIT_INTERRUPTED: Final = 130
"""Exit status after Ctrl-C: 128 and the number of the signal."""

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_KEPT_BYTES: Final = 1 << 30
_PR_SET_PDEATHSIG: Final = 1


def prepare_process() -> None:
    """Settle what must stand before torch is imported.

    Waiting OpenMP threads sleep instead of spinning, which on few shared cores is the difference
    between 0.6 and 52 ms for a small step; and malloc keeps big buffers instead of handing each
    one back to the kernel (glibc only).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def read_settings(**flags: Any) -> Settings:
    """Read the settings of this process once: flags, then environment, then `.env`, then defaults.

    Args:
        flags: what the command line named; None is "not named".

    Raises:
        SettingsError: one sentence for each setting that cannot be.
    """
    if misnamed := variables.misnamed():
        raise SettingsError("\n".join(misnamed))
    named = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**named)
    except ValidationError as error:
        raise SettingsError("\n".join(_sentences(error))) from error
    except UnreadableSetting as error:
        raise SettingsError(_not_json(error)) from error


def _sentences(error: ValidationError) -> list[str]:
    found = []
    for problem in error.errors(include_url=False, include_context=False):
        path = [str(part) for part in problem["loc"]]
        message = problem["msg"].removeprefix("Value error, ")
        if path in (["learning"], ["memory"]) and (inner := re.match(r"(\w+): ", message)):
            path, message = [*path, inner[1]], message[inner.end() :]
        found.append(f"{variables.PREFIX}{'__'.join(path).upper()}: {message}")
    return found


def _not_json(error: UnreadableSetting) -> str:
    """The sentence for a mapping, or a whole section, whose text is no JSON."""
    named = re.search(r'field "(\w+)"', str(error))
    if named is None:
        return str(error)
    default = jsonable(Settings.model_fields[named[1]].get_default())
    some = dict(list(default.items())[:2])
    name = variables.PREFIX + named[1].upper()
    return f"{name}: must be an object in JSON, such as {json.dumps(some)}"


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment in which a child process reads the same settings as its parent.

    Only what flags may have changed is written; everything else the child reads for itself. What
    is unset is written as empty, so that a line of `.env` does not set it again.
    """
    written = {
        "FRESHET_HOST": settings.host,
        "FRESHET_PORT": str(settings.port),
        "FRESHET_DATA_DIR": str(settings.data_dir.absolute()),
        "FRESHET_REDIS_URL": settings.redis_url or "",
        "FRESHET_DATABASE_URL": settings.database_url or "",
    }
    return {**os.environ, **written, "PYTHONUNBUFFERED": "1"}


def end_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """A function for a child to run before exec: be sent `number` when the parent is gone.

    Linux only; elsewhere None, and a supervisor that was killed hard leaves its children behind.
    It must be the parent's main thread that starts the child, for the kernel watches the thread.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:  # it died before we could ask
            os.kill(os.getpid(), number)

    return ask
