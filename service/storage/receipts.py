"""The `recommendation_id`: a signed receipt for an answer, which nobody has to keep.

    "r-" + base64url(format 1 | version 4 | seconds 4 | kind 1 | user 4 | nonce 8 | signature 8)

Thirty bytes, big endian, forty characters. The signature is keyed by the registry's secret, so that
every replica reads what another has issued and nobody else can make one. `user` is a keyed hash, 0
where the answer was for nobody by name.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import struct
from dataclasses import dataclass

from service.domain.recommendations import FALLBACK, PERSONALIZED, SESSION
from service.storage.hashing import answer_mark, answer_user

PREFIX = "r-"
OTHER = "other"
"""The kind of a list and of items like one: signed as all are, and not measured."""

_KINDS = (PERSONALIZED, SESSION, FALLBACK, OTHER)
_FORMAT = 1
_BODY = struct.Struct(">BIIBI8s")
_SIGNATURE = struct.Struct(">Q")
_LENGTH = len(PREFIX) + (_BODY.size + _SIGNATURE.size) * 4 // 3


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an answer's id says of it."""

    version: int
    time_s: int
    """When it was given, in Unix seconds."""
    kind: str
    """What the answer rested on: `personalized`, `session`, `fallback`; or `other`."""
    user: int
    nonce: str
    """Its name, 16 hexadecimal digits."""


class Receipts:
    """Issues and reads receipts.

    Args:
        secret: the registry's.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def issue(
        self, version: int, kind: str, time_ms: int, user_id: str | None
    ) -> tuple[str, Receipt]:
        """The id of a new answer, and what it says."""
        user = 0 if user_id is None else answer_user(self._secret, user_id)
        nonce = secrets.token_bytes(8)
        receipt = Receipt(version, time_ms // 1_000, kind, user, nonce.hex())
        body = _BODY.pack(_FORMAT, version, receipt.time_s, _KINDS.index(kind), user, nonce)
        whole = body + self._signature(body)
        return PREFIX + base64.urlsafe_b64encode(whole).decode(), receipt

    def read(self, text: str) -> Receipt | None:
        """What an id says; None for one that was not issued under this secret."""
        if len(text) != _LENGTH or not text.startswith(PREFIX) or not text.isascii():
            return None
        try:
            whole = base64.b64decode(text[len(PREFIX) :], altchars=b"-_", validate=True)
        except binascii.Error:
            return None
        body, signature = whole[: _BODY.size], whole[_BODY.size :]
        if not hmac.compare_digest(signature, self._signature(body)):
            return None
        form, version, time_s, kind, user, nonce = _BODY.unpack(body)
        if form != _FORMAT or kind >= len(_KINDS):
            return None
        return Receipt(version, time_s, _KINDS[kind], user, nonce.hex())

    def checked(self, text: str, user_id: str, at_ms: int, life_ms: int) -> Receipt | str:
        """What the id says that an event of this user named, or why it is not joined: `forged`,
        `foreign`, `expired` or `unmeasured`.

        Args:
            at_ms: when the event arrived, by the log's clock.
            life_ms: how long ids are good.
        """
        receipt = self.read(text)
        if receipt is None:
            return "forged"
        if not self.is_for(receipt, user_id):
            return "foreign"
        if at_ms - receipt.time_s * 1_000 > life_ms:
            return "expired"
        return "unmeasured" if receipt.kind == OTHER else receipt

    def is_for(self, receipt: Receipt, user_id: str) -> bool:
        """Whether the answer was made for this user, or for nobody by name."""
        return receipt.user in (0, answer_user(self._secret, user_id))

    def _signature(self, body: bytes) -> bytes:
        return _SIGNATURE.pack(answer_mark(self._secret, body.hex()))
