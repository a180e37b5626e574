"""An encoder by its name."""

from __future__ import annotations

from models.nets.encoder import Encoder
from models.registry import ENCODERS, found


def encoder_named(name: str) -> Encoder:
    """The encoder of that name.

    Raises:
        ValueError: there is none.
    """
    encoder: Encoder = found("encoder", name, ENCODERS)()
    return encoder
