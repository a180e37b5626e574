"""Parts of the code broken on purpose, one at a time, each with the test that must notice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

Check = Callable[[], None]
"""A test, called as it stands."""
Mutant = tuple[str, Any, str, Any, Check]
"""What is wrong with it; the class or module, its part, and what is put there; who must notice."""


def each_of(mutants: Sequence[Mutant]) -> pytest.MarkDecorator:
    """A run for each, by the name of what is wrong."""
    return pytest.mark.parametrize("mutant", mutants, ids=[mutant[0] for mutant in mutants])


def assert_noticed(monkeypatch: pytest.MonkeyPatch, mutant: Mutant) -> None:
    """The test passes as long as all is well, and fails when the part is broken."""
    _, owner, part, broken, check = mutant
    check()
    monkeypatch.setattr(owner, part, broken)
    with pytest.raises(AssertionError):
        check()
