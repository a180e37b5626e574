"""What must hold of the compose file and the image, whoever edits them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


@pytest.fixture(scope="module")
def image() -> str:
    return (ROOT / "Dockerfile").read_text()


def test_every_part_runs_apart(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == {"redis", "postgres", "migrate", "api", "learner", "memory"}
    for name in ("migrate", "api", "learner", "memory"):
        assert services[name]["command"] == [name]
        environment = services[name]["environment"]
        assert environment["FRESHET_REDIS_URL"].startswith("redis://redis:")
        assert "@postgres:5432/" in environment["FRESHET_DATABASE_URL"]


def test_the_event_log_appends_always_and_never_evicts(compose: dict[str, Any]) -> None:
    command = compose["services"]["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "always"
    assert options["--maxmemory-policy"] == "noeviction"
    assert any(mount.endswith(":/data") for mount in compose["services"]["redis"]["volumes"])


def test_nothing_starts_before_what_it_needs(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    for name in ("api", "learner", "memory"):
        needs = services[name]["depends_on"]
        assert needs["migrate"]["condition"] == "service_completed_successfully"
        assert needs["redis"]["condition"] == "service_healthy"
    assert services["migrate"]["restart"] == "no"


def test_the_api_can_be_scaled(compose: dict[str, Any]) -> None:
    api = compose["services"]["api"]
    assert "container_name" not in api
    first, last = map(int, api["ports"][0].split(":")[0].split("-"))
    assert last - first >= 3


def test_all_parts_share_checkpoints_and_archive(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name in ("learner", "memory"):
        assert services["api"]["volumes"] == services[name]["volumes"]


def test_stores_are_healthy_before_they_are_used_and_keep_their_data(
    compose: dict[str, Any],
) -> None:
    for name in ("redis", "postgres"):
        assert compose["services"][name]["healthcheck"]["test"]
        volume = compose["services"][name]["volumes"][0].split(":")[0]
        assert volume in compose["volumes"]


def test_no_password_is_written_down(compose: dict[str, Any]) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert compose["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"].startswith("${")
    assert not re.search(r"://[^$\s]+:[^$\s{]+@", text)


def test_the_image_runs_as_nobody_and_says_how_it_is(image: str) -> None:
    final = image.rsplit("\nFROM ", 1)[1]
    user = final.index("\nUSER freshet")
    assert user < final.index("\nENTRYPOINT")
    assert "\nHEALTHCHECK" in final
    assert "/healthz" in final


def test_the_image_installs_the_pinned_versions(image: str) -> None:
    pinned = re.search(r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert f"torch=={pinned[1]}" in image
    assert image.count("-c constraints.txt") == image.count("pip install")


def test_all_that_the_image_copies_is_let_through(image: str) -> None:
    let_through = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    copied = {
        name
        for line in re.findall(r"^COPY (?!--from)(.+)$", image, re.MULTILINE)
        for name in line.split()[:-1]
    }
    assert copied == let_through


def test_every_dependency_is_pinned_without_a_local_suffix() -> None:
    pins = (ROOT / "constraints.txt").read_text()
    names = {name.lower().replace("_", "-") for name in re.findall(r"^([\w.-]+)==", pins, re.M)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    for requirement in asked:
        name = re.split(r"[\[<>=;~! ]", requirement)[0].lower().replace("_", "-")
        assert name in names, f"{name} is not pinned"
    assert "+" not in pins
