"""How many learners died in a window: one that none survives is not tried for ever.

A learner counts itself once when it begins with a window, however often it then tries (a store may
be away for an hour), and takes that back when it is told to end. What is left are deaths.
"""

from __future__ import annotations

from service.domain.versions import Head, WindowRecord
from service.storage.registry import Registry


class Attempts:
    """This learner's attempt at the window in work.

    Args:
        registry: where they are counted.
        most: a window that so many have died in is given up.
    """

    def __init__(self, registry: Registry, most: int) -> None:
        self._registry = registry
        self._most = most
        self._begun: tuple[int, int] | None = None

    def begin(self, head: Head, window: WindowRecord) -> int:
        """Begin, or go on trying.

        Returns:
            How many learners before this one have died in the window.

        Raises:
            StaleHead: the head has moved.
        """
        if self._begun is None or self._begun[0] != window.window_id:
            attempts = self._registry.begin_attempt(head, window)
            self._begun = window.window_id, attempts - 1
        return self._begun[1]

    def are_too_many(self, deaths: int) -> bool:
        """Whether a window with so many deaths is to be given up."""
        return deaths >= self._most

    def end(self) -> None:
        """The window is committed or refused."""
        self._begun = None

    def leave(self) -> None:
        """The learner ends alive, whatever it has begun.

        Raises:
            Unavailable: the database does not answer.
        """
        if self._begun is not None:
            self._registry.take_back_attempt(self._begun[0])
            self._begun = None
