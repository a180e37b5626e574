"""Which keys are valid, held in memory, so that a database that is down locks nobody out."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

from service.errors import Forbidden, SettingsError, Unauthenticated, Unavailable
from service.settings import Settings
from service.storage import database
from service.storage.api_keys import ApiKeys, KnownKeys

SCOPES = ("recommend", "catalog", "admin")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking: the name of a key, or nobody where auth is off."""

    name: str
    scopes: frozenset[str]


ANYBODY = Caller("anybody", frozenset(SCOPES))


class KeyRing:
    """The digests of all keys, refreshed now and then.

    Closed until the database has been heard: nobody is let in on the guess that there is no key.

    Args:
        read: reads the keys from the database.
        public: whether the service listens beyond this machine; if not, and only then, auth is off
            where no key was ever made.
    """

    def __init__(self, read: Callable[[], KnownKeys], *, public: bool) -> None:
        self._read = read
        self._public = public
        self._callers: tuple[tuple[str, Caller], ...] | None = None
        self._made = False

    @property
    def off(self) -> bool:
        """Whether anybody may do anything: on loopback, when the database said that there never
        was a key. One that was revoked counts."""
        return not self._public and self._callers is not None and not self._made

    def refresh(self) -> None:
        """Read the keys anew. Errors of the database pass through and leave the old ones."""
        known = self._read()
        self._made = known.made
        self._callers = tuple(
            (digest, Caller(name, frozenset(scopes)))
            for digest, (name, scopes) in known.valid.items()
        )

    def check_start(self) -> None:
        """Refuse to listen beyond this machine without a key.

        Raises:
            SettingsError: there is none.
        """
        if self._public and self._callers is not None and not self._callers:
            raise SettingsError(
                "there is no valid API key, and the service would listen beyond this machine: make "
                "one with `freshet keys create`, or set FRESHET_HOST=127.0.0.1"
            )

    def allow(self, authorization: str | None, scope: str) -> Caller:
        """Who asks, if they may use `scope`.

        Raises:
            Unauthenticated: no valid key.
            Forbidden: a key without the scope.
            Unavailable: the keys could not be read since the start.
        """
        if self.off:
            return ANYBODY
        if self._callers is None:
            raise Unavailable("the keys cannot be read")
        caller = self._find(self._callers, authorization)
        if scope not in caller.scopes:
            raise Forbidden(f"this key lacks the scope `{scope}`")
        return caller

    def _find(self, callers: tuple[tuple[str, Caller], ...], authorization: str | None) -> Caller:
        kind, _, token = (authorization or "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise Unauthenticated("send `Authorization: Bearer <key>`")
        digest = hashlib.sha256(token.strip().encode("utf-8", "surrogatepass")).hexdigest()
        found = None
        for known, caller in callers:  # all of them, whatever is found: time tells nothing
            if hmac.compare_digest(known, digest):
                found = caller
        if found is None:
            raise Unauthenticated("this key is not known")
        return found


def is_public(host: str) -> bool:
    """Whether an address is reachable from beyond this machine; a name other than localhost is."""
    if host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return True


def check_access(settings: Settings) -> None:
    """Refuse, in words and before anything listens, what must not start.

    Raises:
        SettingsError: a public address and no key, or a database of another release.
        Unavailable: the database does not answer, and the address is public.
    """
    if not is_public(settings.host):
        return
    engine = database.connect(database.database_url(settings))
    try:
        database.check_revision(engine)
        keys = KeyRing(ApiKeys(engine).known, public=True)
        keys.refresh()
        keys.check_start()
    finally:
        engine.dispose()
