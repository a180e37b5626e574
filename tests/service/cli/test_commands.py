"""The commands that look after a set-up: keys, models, doctor, log."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from typer.testing import CliRunner, Result

from service.cli.app import app
from service.cli.embedded import EmbeddedRedis
from service.errors import FreshetError, SettingsError
from tests.integration.running import free_port


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("FRESHET_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRESHET_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("FRESHET_PORT", str(free_port()))
    return tmp_path / "data"


@pytest.fixture
def migrated(data_dir: Path) -> Path:
    assert freshet("migrate").exit_code == 0
    return data_dir


@pytest.fixture
def server(data_dir: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(data_dir) as running:
        yield running


def freshet(*arguments: str, says: str | None = None) -> Result:
    """Run a command; `says` is typed into its questions."""
    return CliRunner().invoke(app, list(arguments), input=says)


def test_a_key_is_shown_once_and_can_be_taken_back(migrated: Path) -> None:
    key = freshet("keys", "create", "shop", "--scope", "recommend").stdout.strip()
    assert key.startswith("fk_")
    listed = freshet("keys", "list").stdout
    assert listed == "shop\trecommend\n"
    assert key not in listed
    assert freshet("keys", "revoke", "shop").exit_code == 0
    assert "shop" not in freshet("keys", "list").stdout


def test_a_key_has_every_scope_unless_told_otherwise(migrated: Path) -> None:
    freshet("keys", "create", "operator")
    assert freshet("keys", "list").stdout == "operator\tadmin,catalog,recommend\n"


def test_a_scope_that_does_not_exist_is_named(migrated: Path) -> None:
    said = freshet("keys", "create", "shop", "--scope", "everything")
    assert isinstance(said.exception, SettingsError)
    assert "everything" in str(said.exception)


def test_models_are_listed_pinned_and_activated(migrated: Path) -> None:
    assert "active" in freshet("models", "list").stdout
    assert freshet("models", "pin").stdout == "pinned: 1\n"
    assert "pinned: 1" in freshet("models", "list").stdout
    assert freshet("models", "unpin").exit_code == 0
    assert "pinned" not in freshet("models", "list").stdout
    assert freshet("models", "activate", "1").stdout == "active: 1\n"
    said = freshet("models", "activate", "9")
    assert isinstance(said.exception, FreshetError)
    assert "9" in str(said.exception)


def test_a_database_that_is_not_migrated_is_a_sentence(data_dir: Path) -> None:
    said = freshet("keys", "list")
    assert isinstance(said.exception, SettingsError)
    assert "freshet migrate" in str(said.exception)


def test_a_part_alone_must_be_told_of_the_log(data_dir: Path) -> None:
    said = freshet("learner")
    assert isinstance(said.exception, SettingsError)
    assert "FRESHET_REDIS_URL" in str(said.exception)


def test_the_doctor_finds_a_fresh_set_up_well(data_dir: Path) -> None:
    said = freshet("doctor")
    assert said.exit_code == 0, said.stdout
    assert said.stdout.rstrip().endswith("all is well")


def test_the_doctor_finds_a_running_set_up_well(migrated: Path, server: EmbeddedRedis) -> None:
    said = freshet("doctor")
    assert said.exit_code == 0, said.stdout
    assert "appendfsync always" in said.stdout
    assert "migrated" in said.stdout


@pytest.mark.parametrize(
    ("environment", "wrong", "remedy"),
    [
        ({"FRESHET_PORT": "x"}, "FRESHET_PORT", "environment"),
        ({"FRESHET_LEARNING__ENCODER": "lstm"}, "allowed are gru, mf", "environment"),
        ({"FRESHET_DEVICE": "cuda"}, "device cuda", "FRESHET_DEVICE=auto"),
        ({"FRESHET_HOST": "0.0.0.0"}, "keys: none", "freshet keys create"),
        ({"FRESHET_REDIS_URL": "redis://127.0.0.1:1"}, "no answer", "FRESHET_REDIS_URL"),
        ({"FRESHET_DATABASE_URL": "mysql://x"}, "mysql", "FRESHET_DATABASE_URL"),
        ({"FRESHET_DATABASE_URL": "sqlite:///empty.sqlite"}, "revision None", "freshet migrate"),
        ({"FRESHET_DATA_DIR": "/proc/freshet"}, "cannot be written", "FRESHET_DATA_DIR"),
    ],
)
def test_the_doctor_names_what_is_wrong_and_the_remedy(
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    wrong: str,
    remedy: str,
) -> None:
    if environment.get("FRESHET_DEVICE") == "cuda":
        torch = pytest.importorskip("torch")
        if torch.cuda.is_available():
            pytest.skip("there is a CUDA device, so asking for one is right")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    said = freshet("doctor")
    assert said.exit_code == 1
    lines = said.stdout.splitlines()
    found = [i for i, line in enumerate(lines) if line.startswith("wrong") and wrong in line]
    assert found, said.stdout
    assert remedy in lines[found[0] + 1]


def test_the_doctor_warns_of_parameters_that_nobody_uses(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Learning works without them, so a set-up that has some is no failed one."""
    monkeypatch.setenv("FRESHET_LEARNING__PARAMETERS", '{"ewc": {"strength": 5}}')
    said = freshet("doctor")
    lines = said.stdout.splitlines()
    found = [i for i, line in enumerate(lines) if "parameters of ewc" in line]
    assert said.exit_code == 0, said.stdout
    assert [lines[i].split()[0] for i in found] == ["warn"]
    assert "FRESHET_LEARNING__METHODS" in lines[found[0] + 1]
    assert not any(line.startswith("wrong") for line in lines)


@pytest.mark.parametrize(
    ("name", "value", "wrong"),
    [
        ("appendonly", "no", "appendonly no"),
        ("appendfsync", "no", "appendfsync no"),
        ("maxmemory-policy", "allkeys-lru", "maxmemory-policy allkeys-lru"),
    ],
)
def test_the_doctor_sees_a_log_that_would_lose_events(
    migrated: Path, server: EmbeddedRedis, name: str, value: str, wrong: str
) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", "100mb")
        client.config_set(name, value)
    said = freshet("doctor")
    assert said.exit_code == 1
    assert f"wrong  event log: {wrong}" in said.stdout


def test_a_log_of_another_is_seen_and_can_be_accepted(
    migrated: Path, server: EmbeddedRedis
) -> None:
    assert freshet("log", "rebase", "--yes").exit_code == 0
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    said = freshet("doctor")
    assert said.exit_code == 1
    assert "freshet log rebase" in said.stdout
    assert freshet("log", "rebase", says="n\n").exit_code == 1
    assert freshet("doctor").exit_code == 1
    assert freshet("log", "rebase", says="y\n").exit_code == 0
    assert freshet("doctor").exit_code == 0


def test_a_log_of_another_registry_is_seen_and_can_be_taken(
    migrated: Path, server: EmbeddedRedis
) -> None:
    assert freshet("log", "rebase", "--yes").exit_code == 0
    with redis.Redis.from_url(server.url) as client:
        client.set("freshet:{s0}:log:owner", "somebody")
    said = freshet("doctor")
    assert said.exit_code == 1
    assert "another registry's (mark somebody)" in said.stdout
    said = freshet("log", "rebase", says="y\n")
    assert "whose learning would halt" in said.stdout
    assert freshet("doctor").exit_code == 0
