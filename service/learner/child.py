"""The child process of a full retrain, as the learner holds it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from service.domain.interactions import Position
from service.domain.versions import Job
from service.learner.full import PROGRESS, RESULT, Request, Result

_END_S = 5.0
_ERROR_BYTES = 2_000


class Child:
    """One run of `service.learner.full`, beside the learner and behind it in priority.

    Args:
        request: what it is to do. Its work directory is its own; what earlier runs left beside
            it goes.
        niceness: how much it gives way to the learner and the api.
    """

    def __init__(self, request: Request, niceness: int) -> None:
        self.work_dir = Path(request.work_dir)
        shutil.rmtree(self.work_dir.parent, ignore_errors=True)
        self.work_dir.mkdir(parents=True)
        with (self.work_dir / "stderr").open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "service.learner.full"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        os.setpriority(os.PRIO_PROCESS, self._process.pid, niceness)
        if self._process.stdin is not None:
            with self._process.stdin as request_file:
                request_file.write(msgspec.json.encode(request))

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def progress(self) -> float:
        """Share of the training that is done, 0–1."""
        try:
            return float((self.work_dir / PROGRESS).read_text())
        except (OSError, ValueError):
            return 0.0

    def result(self) -> Result | None:
        """What it left; None when it failed."""
        try:
            return msgspec.json.decode((self.work_dir / RESULT).read_bytes(), type=Result)
        except (OSError, msgspec.DecodeError):
            return None

    def error(self) -> str:
        """The end of what it wrote to stderr, in one piece."""
        try:
            text = (self.work_dir / "stderr").read_bytes()[-_ERROR_BYTES:].decode(errors="replace")
        except OSError:
            text = ""
        last = text.strip().splitlines()[-1:] or ["it said nothing"]
        return f"the full retrain ended with status {self._process.returncode}: {last[0]}"

    def end(self) -> None:
        """Stop it if it runs, and throw its work away."""
        if self.is_running:
            self._process.terminate()
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self.work_dir, ignore_errors=True)


@dataclass(slots=True)
class Run:
    """A full retrain in work."""

    job: Job
    child: Child
    version: int
    """The tip it started from."""
    position: Position
    """How far the archive was trained on."""
    seed: int
    began_s: float
    told_s: float = 0.0
