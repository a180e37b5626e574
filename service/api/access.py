"""What a route asks of its caller: a scope, declared as a dependency of the route itself.

Every route with a scope thereby takes the query names that it declares and no others; and where
auth is off, only requests from programs of this machine and from its own pages.
"""

from __future__ import annotations

from fastapi import Request

from service.api.origin import check_origin
from service.api.query import check_names
from service.api.services import services_of


class Scope:
    """A dependency that lets only keys with the scope `name` through, at their rate."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def __call__(self, request: Request) -> None:
        services = services_of(request)
        if services.keys.off:
            check_origin(request.headers)
        caller = services.keys.allow(request.headers.get("authorization"), self.name)
        services.rates.take(caller.name)
        check_names(request)


RECOMMEND = Scope("recommend")
CATALOG = Scope("catalog")
ADMIN = Scope("admin")
