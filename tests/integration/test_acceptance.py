"""The contract as a client sees it: tests from elsewhere, run against a fresh service."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.running import serving

pytestmark = pytest.mark.processes

MARKS = "river or sources"
DIRECTORY = os.environ.get("FRESHET_ACCEPTANCE", "")


@pytest.mark.timeout(900)
@pytest.mark.skipif(not DIRECTORY, reason="FRESHET_ACCEPTANCE names no directory of tests")
def test_the_contract_holds(tmp_path: Path) -> None:
    with serving(tmp_path / "data", environment={"FRESHET_WINDOW__MAX_AGE_S": "3"}) as service:
        said = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-m",
                "river or sources",
                "-p",
                "no:cacheprovider",
                ".",
            ],
            cwd=Path(DIRECTORY).absolute(),
            env={**os.environ, "FRESHET_URL": service.url, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=800.0,
        )
    assert said.returncode == 0, said.stdout[-5000:]
