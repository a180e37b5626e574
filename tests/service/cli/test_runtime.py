"""What is settled before anything else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
        ("FRESHET_LEARNING__METHODS", '["ewk"]', "allowed are"),
        ("FRESHET_LEARNING__DECAY", "2", "decay: must lie in"),
    ],
)
def test_a_wrong_setting_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=says):
        read_settings()


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
