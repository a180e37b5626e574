"""What `freshet doctor` looks at: each check says what it found and, if it is wrong, what to do."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from service.cli.claims import check_port, is_loopback, reachable, url_of
from service.cli.embedded import find_server, remembered_url
from service.errors import FreshetError, SettingsError, Unavailable
from service.settings import Settings

if TYPE_CHECKING:
    from service.storage.api_keys import KnownKeys

_LEAST_FREE_BYTES: Final = 1 << 30
_OLDEST_PYTHON: Final = (3, 11)
_OLDEST_TORCH: Final = (2, 10)
_OLDEST_REDIS: Final = (7, 0)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; one without a remedy is in order.

    Attributes:
        what: was found.
        remedy: what to do about it.
        works: whether the set-up works all the same: then it is a warning.
    """

    what: str
    remedy: str = ""
    works: bool = False

    @property
    def is_wrong(self) -> bool:
        return bool(self.remedy) and not self.works


Check = Callable[[Settings], Iterable[Finding]]


def check_python(settings: Settings) -> Iterator[Finding]:
    """The interpreter, torch, and the device that is asked for."""
    found = ".".join(map(str, sys.version_info[:3]))
    old = sys.version_info < _OLDEST_PYTHON
    yield Finding(f"Python {found}", "install Python 3.11 or newer" if old else "")
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding(f"torch cannot be imported: {error}", "run `make install` again")
        return
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    remedy = "run `make install` again" if version < _OLDEST_TORCH else ""
    yield Finding(f"torch {torch.__version__}", remedy)
    has_cuda = torch.cuda.is_available()
    device = "cuda" if has_cuda and settings.device != "cpu" else "cpu"
    lacks = settings.device == "cuda" and not has_cuda
    yield Finding(
        f"device {settings.device}: computes on {'nothing' if lacks else device}",
        "install torch's CUDA build and its driver, or set FRESHET_DEVICE=auto" if lacks else "",
    )


def check_data_dir(settings: Settings) -> Iterator[Finding]:
    """The data directory can be written and has room."""
    path = settings.data_dir.absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".doctor"
        probe.write_bytes(b"freshet")
        probe.unlink()
    except OSError as error:
        yield Finding(
            f"data directory {path} cannot be written: {error.strerror}",
            "give it to the user that runs freshet, or name another with FRESHET_DATA_DIR",
        )
        return
    free = shutil.disk_usage(path).free
    yield Finding(
        f"data directory {path}: writable, {free / (1 << 30):.1f} GiB free",
        "make room: at least 1 GiB should be free" if free < _LEAST_FREE_BYTES else "",
    )


def check_address(settings: Settings) -> Iterator[Finding]:
    """The port can be opened, or it is freshet that has it."""
    where = f"{settings.host}:{settings.port}"
    try:
        check_port(settings.host, settings.port)
    except SettingsError:
        if _answers(settings):
            yield Finding(f"address {where}: freshet answers there")
        else:
            yield Finding(
                f"address {where} cannot be opened and freshet does not answer there",
                "end the program that has it, or choose another with FRESHET_PORT",
            )
    else:
        yield Finding(f"address {where}: free")


def _answers(settings: Settings) -> bool:
    import httpx

    try:
        found = httpx.get(f"{url_of(reachable(settings.host), settings.port)}/healthz", timeout=2.0)
    except httpx.HTTPError:
        return False
    return found.status_code == 200


def check_redis(settings: Settings) -> Iterator[Finding]:
    """The event log's server answers and keeps what it is given."""
    import redis

    from service.storage.connections import connect

    embedded = settings.redis_url is None
    url = settings.redis_url or remembered_url(settings.data_dir)
    if embedded:
        try:
            yield Finding(f"event log: embedded, {find_server().name}")
        except SettingsError as error:
            yield Finding("event log: no server", str(error))
            return
    if url is None:
        yield Finding("event log: `freshet serve` will make it")
        return
    try:
        with connect(url, timeout_s=3.0) as client:
            info = cast(dict[str, Any], client.info("server"))
            config = cast(dict[str, str], client.config_get("*"))
    except (redis.RedisError, OSError, ValueError) as error:
        if embedded:
            yield Finding("event log: not running; `freshet serve` starts it")
        else:
            remedy = "start the server, or correct FRESHET_REDIS_URL"
            yield Finding(f"event log: no answer ({error})", remedy)
        return
    yield from _redis_findings(info, config)


def _redis_findings(info: dict[str, Any], config: dict[str, str]) -> Iterator[Finding]:
    version = str(info.get("valkey_version") or info.get("redis_version", "0.0"))
    old = tuple(int(part) for part in version.split(".")[:2]) < _OLDEST_REDIS
    yield Finding(f"event log: server {version}", "run 7.0 or newer" if old else "")
    appends = config.get("appendonly") == "yes"
    yield Finding(
        f"event log: appendonly {config.get('appendonly')}",
        "" if appends else "CONFIG SET appendonly yes, or a crash loses acknowledged events",
    )
    if appends:
        fsync = config.get("appendfsync", "")
        yield Finding(
            f"event log: appendfsync {fsync}",
            "CONFIG SET appendfsync always (or everysec)" if fsync == "no" else "",
        )
    policy = config.get("maxmemory-policy", "")
    evicts = config.get("maxmemory", "0") != "0" and policy != "noeviction"
    yield Finding(
        f"event log: maxmemory-policy {policy}",
        "CONFIG SET maxmemory-policy noeviction, or histories and log vanish" if evicts else "",
    )


def check_database(settings: Settings) -> Iterator[Finding]:
    """The registry answers, has this release's tables, and knows this event log."""
    from service.storage.api_keys import ApiKeys, KnownKeys
    from service.storage.database import check_revision, connect, database_url
    from service.storage.registry import Registry

    name = "PostgreSQL" if settings.database_url else "SQLite in the data directory"
    fresh = not settings.database_url and not _sqlite_exists(settings)
    if fresh:
        yield Finding(f"registry: {name}, not there yet; `freshet serve` makes it")
        yield from _key_findings(settings, KnownKeys({}, made=False))
        return
    try:
        engine = connect(database_url(settings), timeout_s=3.0)
    except SettingsError as error:
        yield Finding(f"registry: {error}", "correct FRESHET_DATABASE_URL")
        return
    try:
        check_revision(engine)
        yield Finding(f"registry: {name}, migrated")
        yield from _key_findings(settings, ApiKeys(engine).known())
        yield from _log_findings(settings, Registry(engine))
    except SettingsError as error:
        yield Finding(f"registry: {error}", "run `freshet migrate`")
    except Unavailable:
        remedy = "start the database, or correct FRESHET_DATABASE_URL"
        yield Finding(f"registry: {name} does not answer", remedy)
    finally:
        engine.dispose()


def _sqlite_exists(settings: Settings) -> bool:
    from service.storage.database import database_url

    return (settings.data_dir / database_url(settings).rsplit("/", 1)[1]).exists()


def _key_findings(settings: Settings, known: KnownKeys) -> Iterator[Finding]:
    remedy = "run `freshet keys create NAME`"
    if known.valid:
        yield Finding(f"keys: {len(known.valid)} in use")
    elif not is_loopback(settings.host):
        yield Finding(
            f"keys: none, and {settings.host} is no loopback address: the api will not start",
            f"{remedy}, or listen on 127.0.0.1",
        )
    elif known.made:
        yield Finding("keys: all are revoked: the api lets nobody in", remedy)
    else:
        yield Finding("keys: none: auth is off on a loopback address")


def _log_findings(settings: Settings, registry: Any) -> Iterator[Finding]:
    """Whether the log is the one that the head's position belongs to; nothing is changed."""
    import redis

    from service.cli.stores import open_redis
    from service.storage.event_log import EventLog
    from service.storage.keys import Keys

    keys, known = Keys(settings.namespace), registry.incarnation()
    try:
        with open_redis(settings) as client:
            found = cast(bytes | None, client.get(keys.incarnation))
            heartbeat = cast(bytes | None, client.get(keys.learner))
            log = EventLog(client, keys)
            last, owner = log.last(), log.owner()
    except (FreshetError, redis.RedisError, OSError):
        return  # said already
    yield from _learner_findings(None if heartbeat is None else json.loads(heartbeat))
    position = registry.head().position
    is_same = known is None or (found is not None and found.decode() == known and last >= position)
    if not is_same:
        yield Finding(
            "event log: not the one that the models were made from; learning halts",
            "bring the right one back, or accept this one with `freshet log rebase`",
        )
    elif owner is not None and owner != registry.mark():
        yield Finding(
            f"event log: another registry's (mark {owner}); learning halts",
            "set FRESHET_NAMESPACE or FRESHET_REDIS_URL to have a log apart, or take this one over "
            "with `freshet log rebase`",
        )
    else:
        yield Finding(f"event log: the registry's own, learned up to {position} of {last}")


def _learner_findings(heartbeat: dict[str, Any] | None) -> Iterator[Finding]:
    """What a learner says of itself, if one is heard."""
    if heartbeat is None:
        yield Finding("learner: none is heard")
    elif heartbeat.get("state") == "halted":
        yield Finding(
            f"learner: halted: {heartbeat.get('detail')}",
            "see what to do about it in docs/guides/operations.md",
        )
    else:
        yield Finding(f"learner: {heartbeat.get('state')}, version {heartbeat.get('version')}")


def check_learning(settings: Settings) -> Iterator[Finding]:
    """What is said of learning is heard; where it is not, learning goes on without."""
    for name in settings.learning.unused:
        yield Finding(
            f"learning: parameters of {name}, which learns nothing: it is not among the methods",
            f"name {name} in FRESHET_LEARNING__METHODS, or take its parameters out",
            works=True,
        )


CHECKS: Final[tuple[Check, ...]] = (
    check_python,
    check_data_dir,
    check_address,
    check_redis,
    check_database,
    check_learning,
)
