"""The embedded server: real, durable, private, and found again where it was."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from service.cli.embedded import EmbeddedRedis, remembered_url
from service.errors import SettingsError


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path, "always") as running:
        yield running


def test_it_appends_always_and_never_evicts(server: EmbeddedRedis) -> None:
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        config = client.config_get("*")
    assert (config["appendonly"], config["appendfsync"]) == ("yes", "always")
    assert config["maxmemory-policy"] == "noeviction"
    assert config["bind"] == "127.0.0.1"


def test_the_fsync_policy_is_the_one_asked_for(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path, "everysec") as server, redis.Redis.from_url(server.url) as client:
        assert client.config_get("appendfsync")["appendfsync"] == "everysec"


def test_nobody_gets_in_without_the_password(server: EmbeddedRedis, tmp_path: Path) -> None:
    without = "redis://" + server.url.split("@")[1]
    with redis.Redis.from_url(without) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    for name in ("password", "url", "server.conf"):
        assert (tmp_path / "redis" / name).stat().st_mode & 0o077 == 0, name


def test_what_was_written_survives_a_kill_and_the_address_stays(server: EmbeddedRedis) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.set("kept", 1)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        while server.poll() is None:
            pass
        address = server.url
        server.start()
        assert server.url == address
        assert client.get("kept") == b"1"


def test_a_later_one_has_the_same_address_and_data(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as first, redis.Redis.from_url(first.url) as client:
        client.set("kept", 1)
    with EmbeddedRedis(tmp_path) as second, redis.Redis.from_url(second.url) as client:
        assert second.url == first.url == remembered_url(tmp_path)
        assert client.get("kept") == b"1"


def test_it_moves_when_its_port_was_taken_meanwhile(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as first:
        port = int(first.url.rsplit(":", 1)[1].split("/")[0])
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with EmbeddedRedis(tmp_path) as second, redis.Redis.from_url(second.url) as client:
            assert second.url != first.url
            assert client.ping()


def test_after_stop_nothing_runs(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    server.start()
    pid = server.pid
    server.stop()
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    server.stop()


def test_a_damaged_file_is_a_sentence_that_names_the_log(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        client.set("kept", 1)
    for part in (tmp_path / "redis" / "appendonlydir").glob("*.incr.aof"):
        part.write_bytes(b"this is no append-only file\r\n")
    with pytest.raises(SettingsError, match=r"server\.log"):
        EmbeddedRedis(tmp_path).start()
