"""From a published bundle to what answering needs."""

from __future__ import annotations

import torch
from torch import Tensor

from models.nets.recommender import Recommender
from models.parameters import Bundle
from models.vocabulary import Vocabulary


def load_serving(bundle: Bundle) -> tuple[Recommender, Vocabulary, Vocabulary]:
    """The recommender, the items and the users of a bundle whose `serving` part is there.

    Raises:
        ValueError: an unknown encoder, or rows and ids that do not match.
    """
    net = Recommender.from_snapshot(bundle.tensors["serving"], bundle.meta["net"])
    items, users = Vocabulary(bundle.ids["items"]), Vocabulary(bundle.ids["users"])
    if len(items) != len(net.items):
        raise ValueError(f"{len(items)} item ids for {len(net.items)} item rows")
    if net.encoder.has_users and len(users) != len(net.users):
        raise ValueError(f"{len(users)} user ids for {len(net.users)} user rows")
    return net, items, users


def event_counts(bundle: Bundle) -> Tensor:
    """How often each item was a positive event, [N] float64; a million times each in a bundle that
    was written before it said so: its items all speak for themselves."""
    counts = bundle.tensors["serving"].get("counts")
    if counts is None:
        return torch.full((len(bundle.ids["items"]),), 1e6, dtype=torch.float64)
    return counts.double()
