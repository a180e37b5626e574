"""What a route asks of its caller: a scope, declared as a dependency of the route itself."""

from __future__ import annotations

from fastapi import Request

from service.api.services import services_of


class Scope:
    """A dependency that lets only keys with the scope `name` through, at their rate."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def __call__(self, request: Request) -> None:
        services = services_of(request)
        caller = services.keys.allow(request.headers.get("authorization"), self.name)
        services.rates.take(caller.name)


RECOMMEND = Scope("recommend")
CATALOG = Scope("catalog")
ADMIN = Scope("admin")
