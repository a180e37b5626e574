"""Api keys: opaque tokens of 256 bits, of which only the digest is kept.

A revoked key keeps its row, so that the database can say that keys were made: a service whose last
key was taken back is closed to everybody, not open.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Engine, delete, select
from sqlalchemy.exc import IntegrityError

from service.errors import Conflict, NotFound
from service.storage.clock import now_ms
from service.storage.database import reading, storable, writing
from service.storage.tables import ApiKeyRow

PREFIX = "fk_"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key: everything but the key."""

    name: str
    scopes: tuple[str, ...]
    created_ms: int


def digest(token: str) -> str:
    """sha256 (hex) of a token. It is random, so no salt or slow hash is needed."""
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class KnownKeys:
    """What the database says of keys at one moment."""

    valid: Mapping[str, tuple[str, tuple[str, ...]]]
    """Digest (hex) of every valid key → its name and scopes."""
    made: bool
    """Whether any key was ever made, revoked ones included."""


class ApiKeys:
    """Keys in the database; replicas hold what `known()` says in memory.

    Args:
        engine: a database that `migrate` has prepared.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, name: str, scopes: Collection[str]) -> str:
        """Make a key.

        Returns:
            The token, shown this once: `fk_` and 43 URL-safe characters.

        Raises:
            BadRequest: the name cannot be stored.
            Conflict: a key of that name exists.
        """
        token = PREFIX + secrets.token_urlsafe(32)
        row = ApiKeyRow(
            digest=digest(token),
            name=storable("name", name),
            scopes=sorted(set(scopes)),
            created_ms=now_ms(),
        )
        try:
            with writing(self._engine) as session:
                session.execute(
                    delete(ApiKeyRow).where(
                        ApiKeyRow.name == row.name, ApiKeyRow.revoked_ms.is_not(None)
                    )
                )
                session.add(row)
        except IntegrityError as error:
            raise Conflict(f"a key named {name!r} exists") from error
        return token

    def known(self) -> KnownKeys:
        """The valid keys, and whether there ever was one."""
        with reading(self._engine) as session:
            rows = session.scalars(select(ApiKeyRow)).all()
            valid = {
                row.digest: (row.name, tuple(row.scopes)) for row in rows if row.revoked_ms is None
            }
            return KnownKeys(valid, made=bool(rows))

    def list(self) -> list[ApiKey]:
        """All valid keys, by name."""
        valid = select(ApiKeyRow).where(ApiKeyRow.revoked_ms.is_(None)).order_by(ApiKeyRow.name)
        with reading(self._engine) as session:
            return [
                ApiKey(row.name, tuple(row.scopes), row.created_ms)
                for row in session.scalars(valid)
            ]

    def revoke(self, name: str) -> None:
        """Make a key invalid for good; its name may be used again.

        Raises:
            NotFound: there is none of that name.
        """
        with writing(self._engine) as session:
            valid = select(ApiKeyRow).where(ApiKeyRow.name == name, ApiKeyRow.revoked_ms.is_(None))
            row = session.scalars(valid).first()
            if row is None:
                raise NotFound(f"there is no key named {name!r}")
            row.revoked_ms = now_ms()
