"""Every error that freshet raises on purpose.

FreshetError
├── SettingsError              a set-up that cannot work
├── BadRequest                 what the caller sent cannot be right
│   ├── TooLarge               a body above the limit
│   └── UnsupportedMedia       a body that is not JSON by its own word
├── NotFound                   the thing named does not exist
├── Conflict                   the thing named is not in a state for this
├── NotBuilt                   part of the contract, not of this release
├── Unauthenticated            no valid key
├── Forbidden                  a valid key without the scope
├── RateLimited                too many requests for a key
├── Unavailable                a store does not answer in time
│   ├── Backpressure           nothing was accepted; try later
│   ├── Overloaded             too many answers are waiting to be made; try later
│   └── OutcomeUnknown         it may have been accepted; send the same ids again
├── StaleHead                  the registry's head moved under a commit
├── StaleMemory                the fast memory was written by another under a commit
├── LogIncarnationMismatch     the event log is not the one that the checkpoint was made from
├── CorruptEntry               a log entry that cannot be decoded
└── CorruptCheckpoint          files that are not what their manifest says

Only `service.api.problems` knows what HTTP makes of them.
"""

from __future__ import annotations


class FreshetError(Exception):
    """The root of the tree."""


class SettingsError(FreshetError):
    """A set-up that cannot work; the message says what to change."""


class BadRequest(FreshetError):
    """What the caller sent cannot be right.

    Args:
        detail: one sentence.
        errors: `(loc, msg)` of each bad field.
    """

    def __init__(
        self, detail: str, errors: tuple[tuple[tuple[str | int, ...], str], ...] = ()
    ) -> None:
        super().__init__(detail)
        self.errors = errors


class TooLarge(BadRequest):
    """The body is larger than the limit; it was not read to its end."""


class UnsupportedMedia(BadRequest):
    """The body says of itself that it is not JSON."""


class NotFound(FreshetError):
    """The thing named does not exist."""


class Conflict(FreshetError):
    """The thing named is not in a state for this."""


class NotBuilt(FreshetError):
    """Part of the contract, not of this release."""


class Unauthenticated(FreshetError):
    """No valid key came with the request."""


class Forbidden(FreshetError):
    """The key is valid and lacks the scope."""


class ForeignHost(FreshetError):
    """Auth is off, and the request was addressed to a name that is not this machine's own."""


class ForeignSite(FreshetError):
    """Auth is off, and the request was made by the page of another site."""


class RateLimited(FreshetError):
    """Too many requests for a key."""

    def __init__(self, detail: str, retry_after_s: float) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Unavailable(FreshetError):
    """A store does not answer in time, or refuses."""

    retry_after_s: float = 1.0


class Backpressure(Unavailable):
    """The log is full or cannot persist: nothing was accepted."""


class Overloaded(Unavailable):
    """Too many answers are waiting to be made: this request was not begun."""


class OutcomeUnknown(Unavailable):
    """A write timed out: it may have been accepted. Send the same events with the same ids."""


class StaleHead(FreshetError):
    """The head's generation or epoch moved since this commit began; nothing was written."""


class StaleMemory(FreshetError):
    """Another process has written the fast memory, or become its keeper; nothing was written."""


class LogIncarnationMismatch(FreshetError):
    """The event log is not the one the head's position belongs to; learning halts."""


class CorruptEntry(FreshetError):
    """A log entry that cannot be decoded; it goes to the dead letters, not round in circles."""


class LostDraw(CorruptEntry):
    """The replay draw of a window is gone; nothing of it is committed, it can be cut anew."""


class CorruptCheckpoint(FreshetError):
    """A checkpoint whose files are not what its manifest says; it is never loaded."""
