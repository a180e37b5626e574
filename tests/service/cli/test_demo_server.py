"""The demo's service is its own: its stores, its directory, its port, and nobody else's."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli.app import app
from service.cli.claims import serving_lock
from service.cli.demo import run
from service.cli.demo.server import Server, demo_environment, own_settings
from service.cli.runtime import read_settings
from service.cli.supervisor import Supervisor
from service.errors import SettingsError
from service.settings import Settings
from tests.conftest import free_port


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return own_settings(Settings(_env_file=None, port=0), tmp_path / "demo")


@contextmanager
def a_service_on(port: int) -> Iterator[None]:
    """Something that answers as another service would."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"ready": True, "pid": 1}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *said: object) -> None:
            del said

    with HTTPServer(("127.0.0.1", port), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield
        server.shutdown()
        thread.join()


def test_stores_that_the_environment_names_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = ("FRESHET_REDIS_URL=redis://real:6379/0", "FRESHET_DATABASE_URL=postgresql://real/x")
    Path(".env").write_text("\n".join(lines))
    monkeypatch.setenv("FRESHET_REDIS_URL", "redis://real:6379/1")
    settings = own_settings(read_settings(), tmp_path / "demo")
    for name, value in demo_environment(settings, 1_000).items():
        monkeypatch.setenv(name, value)
    seen = read_settings()  # as the demo's service reads them, `.env` included
    assert (seen.redis_url, seen.database_url) == (None, None)
    assert seen.data_dir == tmp_path / "demo"


@pytest.mark.parametrize("named", [True, False])
def test_each_source_has_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    found: list[Settings] = []
    monkeypatch.setattr(run.Demo, "run", lambda demo: found.append(demo._settings))
    monkeypatch.setenv("FRESHET_DATA_DIR", str(tmp_path / "data"))
    events = tmp_path / "events.csv"
    directory = ["--data-dir", str(tmp_path / "named")] if named else []
    for rows in ("u,i,1\n", "u,i,1\n", "u,j,1\n"):
        events.write_text("user_id,item_id,timestamp\n" + rows)
        said = CliRunner().invoke(app, ["demo", "--events", str(events), *directory])
        assert said.exit_code == 0, said.output
    CliRunner().invoke(app, ["demo", "--port", "0", *directory])
    first, again, other, synthetic = (one.data_dir for one in found)
    if named:
        assert {first, again, other, synthetic} == {tmp_path / "named"}
    else:
        assert first == again
        assert len({first, other, synthetic}) == 3
        assert {one.parent for one in (first, other, synthetic)} == {tmp_path / "data" / "demo"}
    assert found[-1].port > 0


def test_a_port_of_another_is_a_sentence(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", settings.port)):
        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{settings.port}"):
            Server(settings, 1_000).__enter__()
    assert not (settings.data_dir / "serve.log").exists()


@pytest.mark.parametrize("lock", ["serve.lock", "demo.lock"])
def test_a_directory_of_another_is_a_sentence_and_its_log_stays(
    settings: Settings, lock: str
) -> None:
    with serving_lock(settings.data_dir, lock):
        log = settings.data_dir / "serve.log"
        log.write_text("of the first\n")
        with pytest.raises(SettingsError, match="is served already, by process"):
            Server(settings, 1_000).__enter__()
        assert log.read_text() == "of the first\n"


def test_the_answer_of_another_service_is_not_ours(settings: Settings) -> None:
    with a_service_on(settings.port):
        assert not Supervisor(settings, lambda line: None)._is_ready()


@pytest.mark.processes
def test_waiting_for_the_service_ends_when_told(settings: Settings) -> None:
    asked_s = time.monotonic()
    with Server(settings, 1_000) as server:
        began_s = time.monotonic()
        assert not server.await_ready(lambda: True)
        assert time.monotonic() - began_s < 1.0
        assert server.is_running()
    assert not server.is_running()
    assert time.monotonic() - asked_s < 30.0


@pytest.mark.processes
def test_a_service_that_cannot_come_up_says_why(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRESHET_LEARNING__ENCODER", "lstm")
    with Server(settings, 1_000) as server:
        with pytest.raises(SettingsError, match="allowed are gru, mf"):
            server.await_ready(lambda: False)


def test_a_free_port_is_found_when_none_is_asked_for(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, port=free_port())
    assert own_settings(settings, tmp_path).port == settings.port
    assert own_settings(settings.model_copy(update={"port": 0}), tmp_path).port > 0
