"""From a published bundle to what answering needs."""

from __future__ import annotations

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
