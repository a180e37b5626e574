"""64-bit hashes of ids.

Keyed ones decide who is a probe and what stays in the replay buffer: without the secret nobody can
choose ids that get in, and no hash can be traced back to a user. The plain one only recognises
repeats.

Source: blake2b, Aumasson et al. 2013, RFC 7693; each use has its own personalisation string.
"""

from __future__ import annotations

import hashlib


def event_key(secret: bytes, user_id: str, event_id: str) -> int:
    """Keyed hash of one event, uniform in [0, 2⁶⁴)."""
    return _hash(secret, b"freshet event", user_id, event_id)


def user_key(secret: bytes, user_id: str) -> int:
    """Keyed hash of a user, uniform in [0, 2⁶⁴)."""
    return _hash(secret, b"freshet user", user_id)


def repeat_hash(user_id: str, event_id: str) -> int:
    """Unkeyed hash that two events share when they are the same one sent twice, in [0, 2⁶⁴)."""
    return _hash(b"", b"freshet repeat", user_id, event_id)


def answer_mark(secret: bytes, text: str) -> int:
    """Keyed hash that only the service can put under an answer, in [0, 2⁶⁴)."""
    return _hash(secret, b"freshet answer", text)


def answer_user(secret: bytes, user_id: str) -> int:
    """Keyed hash of the user whom an answer was made for, in [0, 2³²)."""
    return _hash(secret, b"freshet reader", user_id) >> 32


def registry_mark(secret: bytes) -> str:
    """A name for the registry that holds `secret`, which may be shown: 16 hexadecimal digits."""
    return f"{_hash(secret, b'freshet registry'):016x}"


def _hash(secret: bytes, person: bytes, *texts: str) -> int:
    digest = hashlib.blake2b(digest_size=8, key=secret, person=person)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(4, "big") + data)
    return int.from_bytes(digest.digest(), "big")
