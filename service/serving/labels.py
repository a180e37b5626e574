"""What is kept of an item's tags and attributes so that rules can match them.

A view holds every item, so it keeps no more than a rule can ask for: scalars, and lists of scalars.
Equal words are one object in all entries.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from service.domain.rules import Value, comparable

MAX_VALUE_CHARS = 256
"""Longer words can stand in no rule."""
MAX_VALUES = 100
"""Values of one attribute, and attributes of one item, that rules can match."""

_NONE: Mapping[str, tuple[Value, ...]] = {}


def interned(words: Iterable[str]) -> tuple[str, ...]:
    """The same words, shared with whoever has them, too."""
    return tuple(sys.intern(word) for word in words)


def attributes_of(attributes: Mapping[str, Any]) -> Mapping[str, tuple[Value, ...]]:
    """By name, the values that a rule can match.

    Of an attribute that is a list, its scalars. What is neither (an object, null, a number that is
    not finite, a word beyond `MAX_VALUE_CHARS`) and what is beyond `MAX_VALUES` matches no rule.
    """
    if not attributes:
        return _NONE
    found: dict[str, tuple[Value, ...]] = {}
    for name, value in attributes.items():
        if values := tuple(_scalars(value if isinstance(value, list) else [value])):
            found[sys.intern(name)] = values
        if len(found) == MAX_VALUES:
            break
    return found or _NONE


def _scalars(values: list[Any]) -> Iterator[Value]:
    for value in values[:MAX_VALUES]:
        if isinstance(value, str):
            if len(value) <= MAX_VALUE_CHARS:
                yield sys.intern(value)
        elif isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
            yield comparable(value)
