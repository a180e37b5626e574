"""`freshet serve` refuses what must not start before it has started anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.running import ROOT, free_port

pytestmark = pytest.mark.processes


def test_a_public_address_without_a_key_starts_nothing(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FRESHET_")}
    own = {"FRESHET_HOST": "0.0.0.0", "FRESHET_PORT": str(free_port())}
    said = subprocess.run(
        [sys.executable, "-m", "service", "serve", "--data-dir", str(tmp_path / "data")],
        env={**clean, **own},
        capture_output=True,
        text=True,
        timeout=60.0,
        cwd=ROOT,
    )
    assert said.returncode == 2
    assert "freshet keys create" in said.stderr.splitlines()[-1]
    assert not (tmp_path / "data" / "redis").exists()
    assert "learner" not in said.stderr
