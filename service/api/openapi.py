"""The OpenAPI document: bodies that the hot routes read themselves, problems, keys and limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel

from service.api.access import Scope
from service.api.problems import MEDIA_TYPE
from service.settings import Settings

_REFERENCE = "#/components/schemas/{model}"
_SAYS = {
    400: "The request cannot be read.",
    401: "A valid key is needed.",
    403: "The key lacks the scope; or, without keys, the page of another site asks.",
    404: "There is no such thing.",
    409: "Not possible in this state.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    421: "Without keys: the request is not addressed to this machine by a loopback name.",
    422: "Something in the request cannot be right; `errors` names each bad field.",
    429: "The key asks too often; see `Retry-After`.",
    501: "Not part of this release.",
    503: "A store does not answer; see `Retry-After`.",
}
_PROBLEM = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["loc", "msg"],
                "properties": {
                    "loc": {
                        "type": "array",
                        "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
                    },
                    "msg": {"type": "string"},
                },
            },
        },
    },
}

_BATCHES = {"events", "items", "requests"}


def _version() -> str:
    try:
        return version("freshet")
    except PackageNotFoundError:
        return "0"


VERSION = _version()


def body_of(shape: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """`openapi_extra` of a route that reads a body of `shape` itself."""
    schema = shape.model_json_schema(ref_template=_REFERENCE)
    return {
        "requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}
    }


def says(
    shape: type[BaseModel] | None, status: int, *problems: int
) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route: its answer, and the problems it may answer instead."""
    good: dict[str, Any] = {"description": "Done."}
    if shape is not None:
        good["content"] = {
            "application/json": {"schema": shape.model_json_schema(ref_template=_REFERENCE)}
        }
    problem = {"application/problem+json": {"schema": {"$ref": _REFERENCE.format(model="Problem")}}}
    return {
        status: good,
        **{code: {"description": _SAYS[code], "content": problem} for code in problems},
    }


def scope_of(route: APIRoute) -> str | None:
    """The scope that a route asks for, None when it asks for none."""
    for dependency in route.dependant.dependencies:
        if isinstance(dependency.call, Scope):
            return dependency.call.name
    return None


def install(app: FastAPI, settings: Settings) -> None:
    """Have `app` answer the document below, made once when it is first asked for."""
    app.openapi = _once(lambda: document(app, settings))  # type: ignore[method-assign]


def document(app: FastAPI, settings: Settings) -> dict[str, Any]:
    """The OpenAPI document of `app`."""
    made = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    components = made.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM
    _hoist(made["paths"], schemas)
    _limit(made["paths"], settings.limits.max_batch)
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for route in _routes(app):
        for method in route.methods or ():
            _describe(made["paths"][route.path][method.lower()], scope_of(route))
    return made


def _describe(operation: dict[str, Any], scope: str | None) -> None:
    """Add what holds for every route with a scope, and for every route that checks input."""
    codes = [401, 403, 421, 422, 429, 503] if scope else []
    for code in codes:
        operation["responses"].setdefault(str(code), _problem_response(code))
    if scope:
        operation["security"] = [{"key": []}]
        operation["description"] = f"{operation.get('description', '')}\n\nScope: `{scope}`."
    if "422" in operation["responses"]:
        operation["responses"]["422"] = _problem_response(422)


def _problem_response(code: int) -> dict[str, Any]:
    schema = {"$ref": _REFERENCE.format(model="Problem")}
    return {"description": _SAYS[code], "content": {MEDIA_TYPE: {"schema": schema}}}


def _routes(app: FastAPI) -> Iterator[APIRoute]:
    return (
        route for route in app.routes if isinstance(route, APIRoute) and route.include_in_schema
    )


def _hoist(node: Any, schemas: dict[str, Any]) -> None:
    """Move the definitions that shapes brought along to where their references point."""
    if isinstance(node, dict):
        schemas.update(node.pop("$defs", {}))
        for part in node.values():
            _hoist(part, schemas)
    elif isinstance(node, list):
        for part in node:
            _hoist(part, schemas)


def _limit(paths: dict[str, Any], max_batch: int) -> None:
    """Write into the bodies how many members a batch may have, which is a setting."""
    for operations in paths.values():
        for operation in operations.values():
            content = operation.get("requestBody", {}).get("content", {})
            properties = content.get("application/json", {}).get("schema", {}).get("properties", {})
            for name in _BATCHES & properties.keys():
                properties[name]["maxItems"] = max_batch


def _once(make: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    made: dict[str, Any] = {}

    def get() -> dict[str, Any]:
        if not made:
            made.update(make())
        return made

    return get
