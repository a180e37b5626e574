"""The README's lines of curl are run as they stand, and answer what it says they answer."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration.running import ROOT, Running, await_true, serving

pytestmark = pytest.mark.processes

CONSOLE = re.compile(r"```console\n\$ (curl [^\n]+)\n([^`]+)```")
PROMISED = re.compile(r"^Within (\w+) seconds, .* version 2", re.MULTILINE)
SECONDS = {"five": 5.0, "ten": 10.0}
VOLATILE = {"position", "recommendation_id", "learned_until", "job_id", "score", "updated_at"}


def shape(answer: Any) -> Any:
    """An answer without what differs from run to run."""
    if isinstance(answer, dict):
        return {name: shape(part) for name, part in answer.items() if name not in VOLATILE}
    if isinstance(answer, list):
        return [shape(part) for part in answer]
    return answer


def run(command: str, url: str) -> Any:
    said = subprocess.run(
        command.replace("localhost:8000", url.removeprefix("http://")),
        shell=True,
        capture_output=True,
        text=True,
        check=True,
        timeout=30.0,
    )
    return json.loads(said.stdout)


def answers(command: str, url: str, said: str) -> bool:
    """Whether a line answers what it is said to, but for what differs from run to run."""
    return bool(shape(run(command, url)) == shape(json.loads(said)))


def learner_of(service: Running) -> Any:
    return service.get("/v1/admin/status")["learner"]


def processes_per_core() -> float:
    """How much slower it may be than on a machine that has nothing else to do."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def served(service: Running) -> int:
    return int(service.get("/readyz")["model_version"])


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl to run the lines with")
def test_every_line_answers_what_the_readme_says(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    lines, promised = CONSOLE.findall(text), PROMISED.search(text)
    assert len(lines) == 5
    assert promised is not None
    defaults = {"FRESHET_WINDOW__MAX_EVENTS": "2000", "FRESHET_WINDOW__MAX_AGE_S": "30"}
    with serving(tmp_path / "data", environment=defaults) as service:
        await_true("the learner has started", lambda: learner_of(service) is not None)
        for command, answer in lines:
            if '"source":"model"' in answer and '"model_version":1' in answer:
                within_s = 1.0 * processes_per_core()  # the fast memory's word
                await_true(command, partial(answers, command, service.url, answer), within_s)
            else:
                assert answers(command, service.url, answer), command
            if "retrain" in command:
                within_s = SECONDS[promised[1]] * processes_per_core()
                await_true("version 2 is served", lambda: served(service) == 2, within_s)
