"""What an answer showed before one of its items was taken, and how far down somebody has looked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from service.memory.intake import Signal
from service.memory.stores import Stores
from service.sections import OnlineSettings
from service.storage.clock import HOUR_MS
from service.storage.online import OnlineStore
from service.storage.receipts import Receipt, Receipts


class Listed(NamedTuple):
    """An answer from which something was taken."""

    name: str
    items: tuple[str, ...]
    """In its order."""
    looked: int
    """Of these the first so many, down to the one below what was taken: eyes go down a list, and
    just beyond what they choose."""


class Answers:
    """Finds the answers that events name, while these are kept.

    Args:
        stores: the server that keeps them, and the secret that signs their ids.
        settings: how many are kept, and for how long.
    """

    def __init__(self, stores: Stores, settings: OnlineSettings) -> None:
        self._stores = stores
        self._store = OnlineStore(stores.client, stores.keys, settings)
        self._life_ms = round(settings.hours * HOUR_MS) if settings.answers else 0

    def listed(self, signals: Sequence[Signal]) -> list[Listed | None]:
        """For each event its answer; None where it names none that is known and held the item.

        Raises:
            Unavailable: the server does not answer.
        """
        named = [self._receipt(signal) for signal in signals]
        names = {receipt.nonce for receipt in named if receipt is not None}
        kept = self._store.recall(sorted(names))
        return [
            _listed(receipt.nonce, kept[receipt.nonce].shown.items, signal.event.item_id)
            if receipt is not None and receipt.nonce in kept
            else None
            for receipt, signal in zip(named, signals, strict=True)
        ]

    def _receipt(self, signal: Signal) -> Receipt | None:
        arrival, id_ = signal.arrival, signal.event.recommendation_id
        if id_ is None or not self._life_ms:
            return None
        receipts = Receipts(self._stores.secret())
        found = receipts.checked(id_, signal.event.user_id, arrival.position.ms, self._life_ms)
        return found if isinstance(found, Receipt) else None


def _listed(name: str, items: tuple[str, ...], taken: str) -> Listed | None:
    return Listed(name, items, items.index(taken) + 2) if taken in items else None
