"""The encoders there are, by name."""

from __future__ import annotations

from models.nets.encoder import Encoder
from models.nets.gru import GruEncoder
from models.nets.mf import MatrixFactorization


def encoders() -> dict[str, Encoder]:
    """Every encoder by the name that settings use."""
    found: list[Encoder] = [GruEncoder(), MatrixFactorization()]
    return {encoder.name: encoder for encoder in found}


def encoder_named(name: str) -> Encoder:
    """The encoder of that name.

    Raises:
        ValueError: there is none.
    """
    known = encoders()
    if name not in known:
        raise ValueError(f"encoder: {name!r} is not known; allowed are {', '.join(known)}")
    return known[name]
