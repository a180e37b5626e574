"""What is settled before anything else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service import variables
from service.cli import reference
from service.cli.runtime import environment_of, read_settings
from service.errors import SettingsError

ROOT = Path(__file__).parents[3]


def test_flags_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_PORT", "7001")
    monkeypatch.setenv("FRESHET_HOST", "127.0.0.2")
    settings = read_settings(port=7002, host=None)
    assert (settings.port, settings.host) == (7002, "127.0.0.2")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("FRESHET_PORT", "70000", "FRESHET_PORT"),
        ("FRESHET_WINDOW__MAX_EVENTS", "0", "FRESHET_WINDOW__MAX_EVENTS"),
        ("FRESHET_EVENT_TYPES", '{"view": 1.0}', "'click' is the default type"),
        ("FRESHET_EVENT_TYPES", '{"click": 1, "skip": -1}', "'skip' must not be negative: what a"),
        ("FRESHET_EVENT_TYPES", '{"click": -0.5}', "'click' must not be negative: what a user"),
        ("FRESHET_EVENT_TYPES", '{"click": 1, "skip": 1}', "'skip' must be 0: it is no positive"),
        ("FRESHET_EVENT_TYPES", '{"click": NaN}', r"'click' must lie in \[0, 1e6\)"),
        ("FRESHET_ONLINE__CONVERSION_TYPES", '["buy"]', "conversion_types: 'buy' is no event type"),
        ("FRESHET_ONLINE__CONVERSION_TYPES", "buy", r'TYPES: .*, such as \["purchase"'),
        ("FRESHET_REPEATABLE_TYPES", '["buy"]', "repeatable_types: 'buy' is no event type with a"),
        ("FRESHET_REPEATABLE_TYPES", '["skip"]', "'skip' is no event type with a weight above 0"),
        ("FRESHET_REPEATABLE_TYPES", "play", r"REPEATABLE_TYPES: .*, such as \["),
        ("FRESHET_ONLINE__VERSIONS", "1000", "FRESHET_ONLINE__VERSIONS"),
        ("FRESHET_LEARNING__METHODS", '["ewk"]', "allowed are"),
        ("FRESHET_LEARNING__DROPOUT", "2", "^FRESHET_LEARNING__DROPOUT: must lie in"),
        (
            "FRESHET_LEARNING__METHODS",
            "online-ewc",
            r'METHODS: must be a list in JSON, such as \["',
        ),
        ("FRESHET_LEARNING__METHODS", "[nope", "METHODS: must be a list in JSON"),
        ("FRESHET_LEARNING__METHODS", "[1]", "METHODS: must be a list in JSON"),
        ("FRESHET_LEARNING__TYPE_HEADS", "purchase", r'HEADS: must be .*, such as \["click"'),
        ("FRESHET_LEARNING__TYPE_HEADS", '["buy"]', "type_heads: 'buy' is no event type"),
        ("FRESHET_LEARNING__TYPE_HEADS", '["skip"]', "'skip' is no event type with a weight"),
        ("FRESHET_LEARNING", '{"seeds": 1}', "FRESHET_LEARNING__SEEDS: there is no such setting"),
        (
            "FRESHET_EVENT_TYPES",
            "nope",
            r'TYPES: must be an object in JSON, such as \{"click": 1.0',
        ),
        ("FRESHET_WINDOW", "nope", r'WINDOW: must be an object in JSON, such as \{"max_events"'),
        ("FRESHET_LOG__RETENTION_DAYS", "30000", "RETENTION_DAYS: .*3650"),
        ("FRESHET_LOG__HISTORY_DAYS", "30000", "HISTORY_DAYS: .*3650"),
        ("FRESHET_LIMITS__FUTURE_S", "1e9", "FUTURE_S: .*86400"),
        ("FRESHET_PROT", "9000", "^FRESHET_PROT: there is no such setting; .* FRESHET_PORT$"),
        ("FRESHET_WINDW__MAX_EVENTS", "5", "the nearest is FRESHET_WINDOW__MAX_EVENTS"),
        ("FRESHET_DATABASE", "x", "the nearest is FRESHET_DATABASE_URL"),
        ("FRESHET_LEARNING__DROPOUTS", "2", "the nearest is FRESHET_LEARNING__DROPOUT"),
        ("FRESHET_QQ", "2", "^FRESHET_QQ: there is no such setting$"),
    ],
)
def test_a_wrong_setting_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=says):
        read_settings()


def test_a_misspelt_line_of_the_env_file_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("FRESHET_PORT=7001\nFRESHET_DB_PASSWORD=x\nOTHER=1\n")
    assert read_settings().port == 7001
    Path(".env").write_text("FRESHET_PROT=7001\n")
    with pytest.raises(SettingsError, match="FRESHET_PORT"):
        read_settings()


def test_names_of_settings_sections_and_event_types_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert variables.unknown(setting.variable for setting in reference.settings()) == []
    assert variables.unknown(["FRESHET_LOG", "FRESHET_EVENT_TYPES__CLICK", "PATH"]) == []
    monkeypatch.setenv("freshet_event_types__click", "2")
    assert read_settings().event_types["click"] == 2.0


def test_names_that_are_no_settings_are_read_by_somebody_else() -> None:
    ours = [ROOT / "docker-compose.yml", ROOT / "pyproject.toml", *ROOT.glob("tests/**/*.py")]
    text = "\n".join(path.read_text() for path in ours if path != Path(__file__))
    for name in ("FRESHET_DB_PASSWORD", "FRESHET_ACCEPTANCE", "FRESHET_TEST_DATA", "FRESHET_URL"):
        assert name in text
        assert name in variables.NOT_SETTINGS
    assert not variables.NOT_SETTINGS & variables.known()


def test_children_read_what_the_flags_said(tmp_path: Path) -> None:
    settings = read_settings(port=7003, data_dir=tmp_path)
    environment = environment_of(settings)
    code = "from service.settings import Settings as S; s = S(); print(s.port, s.data_dir)"
    said = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert said.stdout.split() == ["7003", str(tmp_path)]


def test_an_empty_address_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_REDIS_URL", "")
    monkeypatch.setenv("FRESHET_DATABASE_URL", "")
    settings = read_settings()
    assert (settings.redis_url, settings.database_url) == (None, None)


def test_the_command_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, os\nsys.argv = ['freshet', '--version']\n"
        "from service.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'sqlalchemy', 'fastapi', 'faiss', 'pyarrow'} & set(sys.modules)\n"
        "print(sorted(heavy), os.environ['OMP_WAIT_POLICY'])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    said = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert said.stdout.splitlines()[-1] == "[] PASSIVE"
