"""An encoder by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.config import LearningConfig
from models.nets.encoder import Encoder
from models.registry import ENCODERS, found


def encoder_of(config: LearningConfig) -> Encoder:
    """The encoder that `config` asks for, built as it says."""
    kind = found("encoder", config.encoder, ENCODERS)
    encoder: Encoder = kind(**{name: getattr(config, name) for name in kind().settings})
    return encoder


def encoder_named(name: str, settings: Mapping[str, Any]) -> Encoder:
    """The encoder of that name.

    Args:
        name: as settings and a version's meta have it.
        settings: at least what the encoder's own `settings` name; a version's meta will do.

    Raises:
        ValueError: there is none.
    """
    kind = found("encoder", name, ENCODERS)
    encoder: Encoder = kind(**{taken: settings[taken] for taken in kind().settings})
    return encoder
