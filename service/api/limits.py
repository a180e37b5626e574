"""Limits that stand in the settings and so cannot stand in the shapes."""

from __future__ import annotations

from service.errors import BadRequest
from service.sections import LimitSettings


def check_batch(size: int, name: str, limits: LimitSettings) -> None:
    """Refuse a batch with more than the set number of members.

    Raises:
        BadRequest: it is too long.
    """
    if size > limits.max_batch:
        message = f"may hold at most {limits.max_batch}"
        raise BadRequest(f"{name} {message}", ((("body", name), message),))


def check_explained(size: int, limits: LimitSettings) -> None:
    """Refuse to explain more answers at once than set: each costs as much as dozens of plain ones.

    Raises:
        BadRequest: they are too many.
    """
    if size > limits.max_explained:
        message = f"may hold at most {limits.max_explained} with explain"
        raise BadRequest(f"requests {message}", ((("body", "requests"), message),))
