"""Processes that are kept: started again, ever more slowly, and swept away whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.cli.child import Child, Kept

ROOT = Path(__file__).parents[3]


def python(code: str) -> Child:
    return Child([sys.executable, "-c", code], dict(os.environ))


def await_death(kept: Kept) -> tuple[int, float]:
    until_s = time.monotonic() + 20.0
    while time.monotonic() < until_s:
        died = kept.check()
        if died is not None:
            return died
        time.sleep(0.01)
    raise AssertionError("it did not die")


def test_a_process_that_dies_is_started_again_ever_more_slowly() -> None:
    kept = Kept("dying", python("raise SystemExit(7)"))
    kept.start()
    found = [await_death(kept) for _ in range(3)]
    assert [status for status, _ in found] == [7, 7, 7]
    assert [delay for _, delay in found] == pytest.approx([0.2, 0.4, 0.8])


def test_the_delay_starts_over_after_a_long_life(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept("dying", python("raise SystemExit(0)"))
    kept.start()
    assert await_death(kept)[1] == pytest.approx(0.2)
    monkeypatch.setattr("service.cli.child._STEADY_S", 0.0)
    assert await_death(kept)[1] == pytest.approx(0.2)


def test_its_own_children_are_swept_away_with_it(tmp_path: Path) -> None:
    grandchild = tmp_path / "pid"
    code = (
        "import subprocess, sys, pathlib, os\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(grandchild)!r}).write_text(str(child.pid))\n"
        "os._exit(0)\n"
    )
    kept = Kept("parent", python(code))
    kept.start()
    await_death(kept)
    assert_gone(int(grandchild.read_text()))


def test_one_that_does_not_listen_is_ended_all_the_same() -> None:
    code = (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(flush=True)\ntime.sleep(600)"
    )
    kept = Kept("deaf", python(code))
    kept.start()
    kept.signal(signal.SIGTERM)
    kept.await_end(time.monotonic() + 0.3)
    assert kept.process.poll() is not None


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_a_child_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    code = (
        "import os, sys, time\nfrom service.cli.child import Child\n"
        "child = Child([sys.executable, '-c', 'import time; time.sleep(600)'], dict(os.environ))\n"
        "child.spawn()\nprint(child.pid, flush=True)\ntime.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.kill()
    assert_gone(pid)


def assert_gone(pid: int) -> None:
    """Dead, or a zombie that only waits for its adoptive parent to look."""
    until_s = time.monotonic() + 10.0
    while time.monotonic() < until_s:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":
            return
        time.sleep(0.02)
    raise AssertionError(f"process {pid} still runs")
