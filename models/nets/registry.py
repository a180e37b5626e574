"""The encoders there are, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from models.config import LearningConfig
from models.nets.encoder import Encoder
from models.nets.gru import GruEncoder
from models.nets.mf import MatrixFactorization
from models.nets.sasrec import SasRec

_MAKERS: dict[str, Callable[[Mapping[str, Any]], Encoder]] = {
    GruEncoder.name: lambda _: GruEncoder(),
    MatrixFactorization.name: lambda _: MatrixFactorization(),
    SasRec.name: lambda given: SasRec(int(given["layers"]), int(given["heads"])),
}


def encoders() -> dict[str, Encoder]:
    """Every encoder by the name that settings use, with the settings' defaults."""
    return {name: encoder_of(replace(LearningConfig(), encoder=name)) for name in _MAKERS}


def encoder_of(config: LearningConfig) -> Encoder:
    """The encoder that `config` asks for."""
    return encoder_named(config.encoder, {"layers": config.layers, "heads": config.heads})


def encoder_named(name: str, settings: Mapping[str, Any]) -> Encoder:
    """The encoder of that name.

    Args:
        name: as settings and a version's meta have it.
        settings: at least what the encoder's own `settings` name; a version's meta will do.

    Raises:
        ValueError: there is none.
    """
    if name not in _MAKERS:
        raise ValueError(f"encoder: {name!r} is not known; allowed are {', '.join(_MAKERS)}")
    return _MAKERS[name](settings)
