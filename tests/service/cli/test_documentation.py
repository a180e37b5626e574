"""Every setting, route and metric is documented, and nothing else is; so are the names in use."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from models.evaluation.arms import KINDS
from models.registry import METHODS
from service.api.app import create_app
from service.cli import reference
from service.cli.app import app
from service.settings import Settings
from service.telemetry import Metrics
from service.variables import NOT_SETTINGS

ROOT = Path(__file__).parents[3]
OPERATIONS = (ROOT / "docs" / "guides" / "operations.md").read_text()
README = (ROOT / "README.md").read_text()
EVALUATION = (ROOT / "docs" / "guides" / "evaluation.md").read_text()
CHOOSING = (ROOT / "docs" / "guides" / "choosing-a-method.md").read_text()


def test_the_settings_table_is_the_settings() -> None:
    text = reference.TABLE.read_text()
    assert reference.with_table(text) == text, "run `make docs`"


def test_every_setting_says_what_it_is() -> None:
    silent = [row.variable for row in reference.settings() if not row.meaning]
    assert not silent


def test_settings_that_texts_name_exist() -> None:
    known = {row.variable for row in reference.settings()}
    known |= NOT_SETTINGS
    texts = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "docker-compose.yml"]
    for path in [*texts, ROOT / "Dockerfile"]:
        named = set(re.findall(r"FRESHET_[A-Z0-9_]*[A-Z0-9]", path.read_text()))
        assert not named - known, path.name


def test_every_route_is_documented_with_its_methods() -> None:
    rows = dict(re.findall(r"^\| `(/[^`]*)` \| ([A-Z, ]+) \|", OPERATIONS, re.MULTILINE))
    found: dict[str, set[str]] = {}
    for path, methods in create_app(Settings(_env_file=None)).openapi()["paths"].items():
        built = {name.upper() for name, says in methods.items() if is_built(says["responses"])}
        if built:
            found[path] = built
    assert {path: set(methods.split(", ")) for path, methods in rows.items()} == found


def is_built(responses: dict[str, Any]) -> bool:
    """Whether a route does what it is for: not one that has nothing to answer but 501."""
    answers = [says for status, says in responses.items() if status.startswith("2")]
    return "501" not in responses or any("content" in says for says in answers)


def test_every_metric_is_documented_with_its_kind() -> None:
    rows = dict(re.findall(r"^\| `(freshet_\w+)` \| (\w+) \|", OPERATIONS, re.MULTILINE))
    found = {
        family.name + ("_total" if family.type == "counter" else ""): family.type
        for family in Metrics().registry.collect()
    }
    assert rows == found


def test_every_command_that_texts_name_exists() -> None:
    runner = CliRunner()
    texts = "\n".join(path.read_text() for path in ROOT.glob("docs/**/*.md")) + README
    quoted = re.findall(r"`([^`\n]+)`|^(freshet .+)$", texts, re.MULTILINE)
    commands = " ; ".join(one or other for one, other in quoted)
    named = set(
        re.findall(r"freshet ((?:keys|models|log|import|export) [a-z]+|[a-z]+)\b", commands)
    )
    assert {"serve", "doctor", "keys create", "log rebase", "migrate"} <= named
    for command in named:
        said = runner.invoke(app, [*command.split(), "--help"])
        assert said.exit_code == 0, f"freshet {command}"


def test_every_arm_of_the_evaluation_is_documented_and_no_other() -> None:
    section = EVALUATION.split("## The arms", 1)[1].split("\n## ", 1)[0]
    firsts = re.findall(r"^\| ([^|]*`[^|]*) \|", section, re.MULTILINE)
    named = [name for cell in firsts for name in re.findall(r"`([^`]+)`", cell)]
    assert sorted(named) == sorted(kind.name for kind in KINDS)


def test_the_guide_to_choosing_has_a_row_for_every_method() -> None:
    section = CHOOSING.split("## What each is for", 1)[1].split("\n## ", 1)[0]
    assert set(re.findall(r"^\| `([a-z0-9-]+)` ", section, re.MULTILINE)) == set(METHODS)


def test_every_method_has_an_arm() -> None:
    assert set(METHODS) <= {kind.name for kind in KINDS}


def test_every_target_that_texts_name_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    texts = README + (ROOT / "CONTRIBUTING.md").read_text()
    assert set(re.findall(r"make ([a-z]+)", texts)) - {"them"} <= targets
    assert {"demo", "test", "lint", "types", "bench", "docs", "install"} <= targets


def test_links_between_texts_lead_somewhere() -> None:
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / link).exists(), f"{path.name}: {link}"


def test_files_that_the_architecture_names_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = re.findall(r"`((?:service|models)/[\w/]+\.\w+)`", text)
    assert len(named) >= 10
    assert not [name for name in named if not (ROOT / name).exists()]
