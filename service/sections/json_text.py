"""Lists and mappings, which the environment gives as JSON text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any


def read_json(name: str, value: Any, default: Any) -> Any:
    """A list of words or a mapping, either of which may be JSON text; anything else as it is."""
    if not isinstance(default, tuple | Mapping):
        return value
    if isinstance(value, str):
        with suppress(ValueError):
            value = json.loads(value)
    if isinstance(default, Mapping):
        if isinstance(value, Mapping) and all(isinstance(part, Mapping) for part in value.values()):
            return value
        example = {"online-ewc": {"strength": 10}}
        raise ValueError(f"{name}: must be a mapping in JSON, such as {json.dumps(example)}")
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return value
    listed = default or ("click", "purchase")
    raise ValueError(f"{name}: must be a list in JSON, such as {json.dumps(listed)}")
