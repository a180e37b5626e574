"""The registry's secret as a replica knows it."""

from __future__ import annotations

from service.storage.hashing import user_key
from service.storage.lookups import Lookups
from service.storage.receipts import Receipts


class Secret:
    """Nothing until the database has answered once; from then on for good.

    Args:
        registry: keeps it.
    """

    def __init__(self, registry: Lookups) -> None:
        self._registry = registry
        self.key: bytes | None = None
        """Keys the marks that stand for user ids in log lines."""
        self.receipts: Receipts | None = None
        """Signs answers."""

    def learn(self) -> None:
        """Read it, unless it is known.

        Raises:
            Unavailable: the database does not answer.
        """
        if self.key is None:
            self.key = self._registry.secret()
            self.receipts = Receipts(self.key)

    def key_of(self, user_id: str) -> int | None:
        """By which the fast memory knows a user; None until the secret could be read."""
        return None if self.key is None else user_key(self.key, user_id)
