"""Query strings of hot routes, read in one pass; the framework's own way costs a millisecond."""

from __future__ import annotations

from typing import Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError

from service.api.problems import invalid
from service.api.schemas.fields import PathId
from service.errors import BadRequest

T = TypeVar("T")

_PATH_ID: TypeAdapter[str] = TypeAdapter(PathId)


def read_path_id(request: Request, name: str) -> str:
    """The id that the path holds under `name`.

    Raises:
        BadRequest: it is none.
    """
    try:
        return _PATH_ID.validate_python(request.path_params[name])
    except ValidationError as error:
        raise _invalid(error, ("path", name)) from None


def check_names(request: Request) -> None:
    """See that the route declares every name of the query string.

    Raises:
        BadRequest: it does not; names each.
    """
    raw = request.scope["query_string"]
    if not raw:
        return
    found = {name for name, _ in parse_qsl(raw.decode("latin-1"), keep_blank_values=True)}
    unknown = sorted(found - _declared(request.scope["route"]))
    if unknown:
        places = tuple((("query", name), "is not a parameter of this route") for name in unknown)
        raise BadRequest("The query names parameters that this route does not have.", places)


def _declared(route: APIRoute) -> set[str]:
    """The names a route takes: those that it reads itself, and those that the framework reads."""
    own = (route.openapi_extra or {}).get("parameters", ())
    names = {parameter["name"] for parameter in own if parameter["in"] == "query"}
    return names | {parameter.alias for parameter in route.dependant.query_params}


LISTS = frozenset({"category", "categories_all", "exclude"})
"""Parameters that may stand more than once."""


def read_query(request: Request, adapter: TypeAdapter[T]) -> T:
    """The query string as `adapter` has it; `check_names` has seen to the names.

    Of a name that is not in `LISTS` the last one counts.

    Raises:
        BadRequest: a parameter is not as it must be, or is not percent-encoded UTF-8.
    """
    raw = request.scope["query_string"]
    if not raw:
        return adapter.validate_python({})
    values: dict[str, Any] = {}
    try:
        for name, value in parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict"):
            if name in LISTS:
                values.setdefault(name, []).append(value)
            else:
                values[name] = value
    except UnicodeError:
        message = "must be percent-encoded UTF-8"
        raise BadRequest(f"the query string {message}", ((("query",), message),)) from None
    try:
        return adapter.validate_python(values)
    except ValidationError as error:
        raise _invalid(error, ("query",)) from None


def parameters_of(path_id: str | None, shape: type[BaseModel]) -> dict[str, Any]:
    """`openapi_extra` of a route that reads an id in its path, if any, and a query of `shape`."""
    parameters: list[dict[str, Any]] = []
    if path_id is not None:
        parameters.append(
            {
                "name": path_id,
                "in": "path",
                "required": True,
                "description": "opaque; `/` travels as `%2F`",
                "schema": {**TypeAdapter(PathId).json_schema(), "title": path_id},
            }
        )
    for name, schema in shape.model_json_schema()["properties"].items():
        parameters.append({"name": name, "in": "query", "required": False, "schema": schema})
    return {"parameters": parameters}


def _invalid(error: ValidationError, root: tuple[str, ...]) -> BadRequest:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return invalid(found, root)
