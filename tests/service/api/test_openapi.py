"""The generated document agrees with behaviour: schemathesis over a replica on real stores."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.api.app import create_app
from service.settings import Settings

EXAMPLES = 15
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]


def document(**changed: Any) -> dict[str, Any]:
    return create_app(Settings(_env_file=None, **changed)).openapi()


def test_what_is_known_of_a_user_is_said_to_be_of_the_kept_history() -> None:
    answer = document()["paths"]["/v1/users/{user_id}"]["get"]["responses"]["200"]
    fields = answer["content"]["application/json"]["schema"]["properties"]
    assert "FRESHET_LOG__HISTORY_SIZE" in fields["events"]["description"]
    assert "history that is kept" in fields["first_event_at"]["description"]


def operations() -> list[tuple[str, str]]:
    return [(path, method) for path, found in document()["paths"].items() for method in found]


@pytest.fixture(scope="module")
def schema() -> Any:
    return schemathesis.openapi.from_dict(document())


@pytest.mark.parametrize(("path", "method"), operations())
def test_an_operation_answers_as_documented(
    shared_api: httpx.Client, schema: Any, path: str, method: str
) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=schema[path][method].as_strategy())
    def answers(case: Case[Any]) -> None:
        answer = case.call(base_url=str(shared_api.base_url))
        assert answer.status_code < 500 or answer.status_code == 501, answer.text
        case.validate_response(answer, checks=CHECKS)

    answers()


def test_every_reference_leads_somewhere() -> None:
    text = str(document())
    named = set(re.findall(r"'#/components/schemas/(\w+)'", text))
    assert named
    assert named <= document()["components"]["schemas"].keys()
    assert "$defs" not in text


def test_the_limits_that_are_settings_stand_in_the_document() -> None:
    paths = document(limits={"max_batch": 7})["paths"]
    body = paths["/v1/events"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"]["properties"]["events"]["maxItems"] == 7
