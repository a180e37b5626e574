"""Bundles as earlier states of the code have stored them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from models.mixing.features import names
from models.mixing.mixer import BY_FEATURE, HIDDEN
from models.parameters import Bundle


def as_told(bundle: Bundle, features: Sequence[str], *, named: bool) -> Bundle:
    """The same by who tells a mixer these features, and says so in the meta or not."""
    sources = bundle.meta["mixing"]["sources"]
    heard = names(sources)
    places, size = torch.tensor([heard.index(name) for name in features]), len(heard)
    serving = dict(bundle.tensors["serving"])
    for name in BY_FEATURE:
        linear, hidden, rest = torch.split_with_sizes(
            serving[f"mixing.{name}"], [size, HIDDEN * size, 2 * HIDDEN]
        )
        hidden = hidden.view(HIDDEN, size)[:, places].flatten()
        serving[f"mixing.{name}"] = torch.cat((linear[places], hidden, rest))
    meta = {"sources": sources, **({"features": list(features)} if named else {})}
    return Bundle(
        {**bundle.tensors, "serving": serving}, bundle.ids, {**bundle.meta, "mixing": meta}
    )


def without_hours(bundle: Bundle) -> Bundle:
    """The same before a mixer was told of the hour, and before a bundle said what it is told."""
    told = [one for one in names(bundle.meta["mixing"]["sources"]) if one != "hour"]
    return as_told(bundle, told, named=False)
