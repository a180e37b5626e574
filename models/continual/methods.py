"""The methods that a configuration names, made ready."""

from __future__ import annotations

from models.config import LearningConfig
from models.continual.method import Method
from models.registry import METHODS, found


def method_named(name: str) -> type[Method]:
    """The class of that name.

    Raises:
        ValueError: there is none.
    """
    kind: type[Method] = found("methods", name, METHODS)
    return kind


def chosen_methods(config: LearningConfig) -> dict[str, Method]:
    """Those that `config.methods` names, before anything is consolidated."""
    return {name: method_named(name).initial(config) for name in config.methods}
