"""Where auth is off, who may ask: programs of this machine, and pages that this service served.

A browser lets every page send requests to loopback addresses. What tells them from others is that
the browser says where they come from (`Origin`, `Sec-Fetch-Site`), and, for a page whose own name
was pointed at this machine (DNS rebinding), that `Host` is that name. Starlette's
`TrustedHostMiddleware` knows neither: its list of names is fixed before the keys are read, it
answers no problem document, and it is blind to `Origin`.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers

from service.api.keyring import is_public
from service.errors import ForeignHost, ForeignSite

_REMEDY = "make a key with `freshet keys create`, and send it"


def check_origin(headers: Headers) -> None:
    """Refuse what a page of another site may have sent.

    Raises:
        ForeignHost: `Host` is no loopback name or address.
        ForeignSite: `Origin` is not this very host, or the browser says that the site is another.
    """
    host = headers.get("host", "")
    if is_public(_name(host)):
        raise ForeignHost(f"use `localhost` or `127.0.0.1`; to be called otherwise, {_REMEDY}")
    origin = headers.get("origin")
    foreign = origin is not None and origin.lower().partition("://")[2] != host.lower()
    if foreign or headers.get("sec-fetch-site") == "cross-site":
        raise ForeignSite(f"pages of other sites may not ask without a key: {_REMEDY}")


def _name(host: str) -> str:
    """The host without its port; empty when there is none, or it cannot be read."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
