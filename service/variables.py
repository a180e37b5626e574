"""Environment variables and `.env` lines that look like settings, and whether they are any.

A name that is misspelt would otherwise be a wish that nobody hears.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from typing import Final

from pydantic import BaseModel
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from service.settings import Settings

PREFIX: Final = "FRESHET_"
NOT_SETTINGS: Final = frozenset(
    {
        "FRESHET_DB_PASSWORD",  # docker-compose.yml
        "FRESHET_URL",  # clients: where the service is, and with which key
        "FRESHET_KEY",
        "FRESHET_NARROW_KEY",
        "FRESHET_LEARN_TIMEOUT_S",  # acceptance tests
        "FRESHET_ACCEPTANCE",  # tests: a directory of acceptance tests, and one of recorded streams
        "FRESHET_TEST_DATA",
    }
)
"""Names that others than the service read, often in the same shell."""


def known() -> frozenset[str]:
    """The name of every setting, and of every section, which may be given whole as JSON."""
    return frozenset(name for name, _ in _fields())


def misnamed() -> list[str]:
    """A sentence for each name in the environment and `.env` that ought to be a setting's."""
    given = {*EnvSettingsSource(Settings).env_vars, *DotEnvSettingsSource(Settings).env_vars}
    return unknown(name.upper() for name in given)


def unknown(names: Iterable[str]) -> list[str]:
    """A sentence for each of `names` that looks like a setting and is none, with the nearest."""
    settings = known()
    open_ended = tuple(f"{name}__" for name, default in _fields() if isinstance(default, dict))
    return [
        _sentence(name, settings)
        for name in sorted(names)
        if name.startswith(PREFIX)
        and name not in settings | NOT_SETTINGS
        and not name.startswith(open_ended)
    ]


def _sentence(name: str, settings: Iterable[str]) -> str:
    ends = sorted(one.removeprefix(PREFIX) for one in settings)
    nearest = difflib.get_close_matches(name.removeprefix(PREFIX), ends, n=1)
    hint = f"; the nearest is {PREFIX}{nearest[0]}" if nearest else ""
    return f"{name}: there is no such setting{hint}"


def _fields() -> list[tuple[str, object]]:
    """Names and defaults, sections included."""
    found: list[tuple[str, object]] = []
    for name, field in Settings.model_fields.items():
        variable, default = PREFIX + name.upper(), field.get_default()
        found.append((variable, default))
        if isinstance(default, BaseModel):
            inner = {part: getattr(default, part) for part in type(default).model_fields}
        elif dataclasses.is_dataclass(default):
            inner = {part.name: part.default for part in dataclasses.fields(default)}
        else:
            continue
        found += [(f"{variable}__{part.upper()}", value) for part, value in inner.items()]
    return found
