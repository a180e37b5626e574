"""`freshet demo` as a newcomer runs it: it shows what it should, ends clean, and goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.running import ROOT, TINY

pytestmark = pytest.mark.processes


def command(data_dir: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "service", "demo", "--data-dir", str(data_dir), *arguments]


def environment() -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FRESHET_")}
    return {**clean, **TINY, "FRESHET_PORT": "0"}


def demo(data_dir: Path, *arguments: str) -> str:
    said = subprocess.run(
        command(data_dir, *arguments),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200.0,
        cwd=ROOT,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout


def test_a_file_is_streamed_to_its_end_and_not_twice(tmp_path: Path) -> None:
    lines = [
        f"u{user},i{(user % 2) * 20 + (user // 2 + step) % 20},{1_000 + user * 8 + step}"
        for user in range(60)
        for step in range(8)
    ]
    events = tmp_path / "events.csv"
    events.write_text("user_id,item_id,timestamp\n" + "\n".join(lines) + "\n")
    said = demo(tmp_path / "demo", "--events", str(events))
    last = [line for line in said.splitlines() if line.startswith("events ")][-1]
    assert last.startswith("events 480 ")
    version = re.search(r"model version (\d+)", last)
    assert version is not None
    assert int(version[1]) > 1
    assert re.search(r"recall on fresh events 0\.\d+ \(popularity 0\.\d+\)", last)
    assert re.search(r"training [\d,]+ positions/s", last)
    assert "curl 'http://127.0.0.1:" in said
    again = demo(tmp_path / "demo", "--events", str(events)).splitlines()
    assert [line for line in again if line.startswith("events ")][-1].startswith("events 0 ")


def test_the_synthetic_stream_goes_on_where_it_stopped(tmp_path: Path) -> None:
    first = demo(tmp_path / "demo", "--seconds", "3", "--rate", "200")
    assert first.startswith("streaming a synthetic stream")
    assert "demo-guest: shown" in first
    assert "clicked" in first
    position = next((tmp_path / "demo" / "demo").glob("synthetic-*.json"))
    before = position.read_text()
    demo(tmp_path / "demo", "--seconds", "1", "--rate", "200")
    number = re.compile(r"\d+")
    found, later = number.search(before), number.search(position.read_text())
    assert found is not None
    assert later is not None
    assert int(later[0]) > int(found[0]) > 0


def test_ctrl_c_ends_the_wait_for_the_service(tmp_path: Path) -> None:
    with subprocess.Popen(
        command(tmp_path / "demo"), env=environment(), stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("starting the service"):
                break
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60.0)
    assert process.returncode == 0
    assert "it listens" not in rest
    assert "nothing is left running" in rest
