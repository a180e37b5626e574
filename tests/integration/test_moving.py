"""Files in and out beside a running service, on its own embedded stores."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli.app import app
from tests.integration.running import Running, await_true

pytestmark = pytest.mark.processes


def freshet(service: Running, *arguments: object) -> str:
    """Run a command on the service's directory; what it says."""
    settings = {name: None for name in os.environ if name.startswith("FRESHET_")}
    environment = {**settings, "FRESHET_DATA_DIR": str(service.data_dir)}
    said = CliRunner().invoke(app, list(map(str, arguments)), env=environment)
    assert said.exit_code == 0, said.exception
    return said.stdout


def test_a_running_service_has_what_is_imported_and_gives_it_back(
    service: Running, tmp_path: Path
) -> None:
    events = [
        {"user_id": "mover", "item_id": f"moved-{at}", "timestamp": 1_000_000_000 + at}
        for at in range(9)
    ]
    file, items = tmp_path / "events.jsonl", tmp_path / "items.csv"
    file.write_text("".join(json.dumps(event) + "\n" for event in events))
    items.write_text("item_id,title,categories\nmoved-3,The third,a|b\n")

    def names() -> list[str]:
        found = service.get("/v1/users/mover/events", limit=4)["events"]
        return [event["item_id"] for event in found]

    assert freshet(service, "import", "events", file) == "9 events are in the log\n"
    assert service.get("/v1/users/mover")["events"] == 9
    assert names() == [f"moved-{at}" for at in range(4)]
    assert freshet(service, "import", "items", items) == "1 items written, 1 of them new\n"
    assert service.get("/v1/items/moved-3")["categories"] == ["a", "b"]
    await_true("the import is learned", service.learned_all)
    assert names() == [f"moved-{at}" for at in range(4)], "also out of the archive"
    freshet(service, "export", "events", tmp_path / "out.jsonl")
    exported = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [event["item_id"] for event in exported if event["user_id"] == "mover"] == [
        event["item_id"] for event in events
    ]
