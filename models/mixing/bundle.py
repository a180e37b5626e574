"""A mixing in the files of a version: its tensors among what is served, whom it hears in the meta.

There the features are named as well that its weights are of, so that one that was told less, or
more, is understood by who comes later.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from models.mixing.blend import NETWORK
from models.mixing.features import names
from models.mixing.mixer import BY_FEATURE, size_of
from models.mixing.mixing import Mixing
from models.parameters import Bundle, prefixed, stripped
from models.sources import SOURCES

_PREFIX = "mixing."
_LATER = ("hour",)
"""What a mixing was not told yet when it did not say what it was told."""


def mixing_tensors(mixing: Mixing | None) -> dict[str, Tensor]:
    """What is served of it, by name; nothing of none."""
    return {} if mixing is None else prefixed(_PREFIX, mixing.tensors())


def mixing_meta(mixing: Mixing | None) -> dict[str, Any]:
    """What of it is plain values; nothing of none."""
    if mixing is None:
        return {}
    return {"mixing": {"sources": list(mixing.sources), "features": names(mixing.sources)}}


def mixing_from(bundle: Bundle, sources: Sequence[str] = tuple(SOURCES)) -> Mixing | None:
    """The inverse of `mixing_tensors` and `mixing_meta`.

    Args:
        sources: those that are asked, in their order, without the network.

    Returns:
        None where the bundle has none. One that has learned to hear others hears these, see
        `Mixing.hearing`.

    Raises:
        ValueError: its tensors are not what they should be.
    """
    mixing = any_mixing_from(bundle)
    return None if mixing is None else mixing.hearing((*sources, NETWORK))


def any_mixing_from(bundle: Bundle) -> Mixing | None:
    """The same, whichever sources it hears.

    Raises:
        ValueError: as for `mixing_from`.
    """
    found = bundle.meta.get("mixing")
    if found is None:
        return None
    sources = tuple(found["sources"])
    features = found.get("features") or [one for one in names(sources) if one not in _LATER]
    return _checked(sources, features, stripped(bundle.tensors["serving"], _PREFIX))


def _checked(
    sources: tuple[str, ...], features: Sequence[str], tensors: dict[str, Tensor]
) -> Mixing:
    """Raises ValueError: a tensor is missing, of another size, or not finite."""
    for name, expected in Mixing.initial(sources).tensors().items():
        tensor = tensors.get(name)
        shape = (size_of(len(features)),) if name in BY_FEATURE else expected.shape
        if tensor is None or tensor.shape != shape:
            raise ValueError(f"mixing: {name} is not there, or of another size")
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"mixing: {name} is not finite")
    return Mixing.load(sources, tensors, features)
