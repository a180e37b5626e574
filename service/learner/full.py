"""The child process of a full retrain: fresh weights over the whole archive.

    python -m service.learner.full < request.json

It reads its request from stdin and nothing from the environment, trains beside the increments at a
lower priority, and leaves a checkpoint and `result.json` in its work directory. It ends by itself
when the learner that started it is gone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import torch

from models.config import LearningConfig
from models.continual.full import learn_archive
from models.continual.state import LearningState
from models.interactions import Event
from service.domain.interactions import START, Position
from service.domain.versions import FIRST_VERSION
from service.domain.weights import EventWeights
from service.learner.signals import Signals
from service.storage.archive import Archive
from service.storage.checkpoints import CheckpointStore
from service.storage.parquet import ArchivedEvent

RESULT = "result.json"
PROGRESS = "progress"


class Request(msgspec.Struct, frozen=True):
    """What a full retrain starts from.

    `excluded` are the ranges (after, until) of refused and quarantined windows.
    """

    parent_pid: int
    """The learner; the child ends when it is an orphan."""
    work_dir: str
    archive_dir: str
    checkpoint_dir: str
    version: int
    digest: str
    until: str
    excluded: list[tuple[str, str]]
    seed: int
    learning: LearningConfig
    event_types: dict[str, float]
    positive_from: dict[str, float]
    secret_hex: str
    device: str
    threads: int


class Result(msgspec.Struct, frozen=True):
    """Where the trained state lies: the checkpoint of `version` 0 in the work directory."""

    digest: str
    events: int


def train(request: Request) -> Result:
    """Train as `request` says and leave the state in its work directory."""
    torch.set_num_threads(request.threads)
    work_dir = Path(request.work_dir)
    events = _events(request)
    state = learn_archive(
        _start(request),
        events,
        seed=request.seed,
        device=request.device,
        progress=lambda share: _tell(work_dir, share),
        cancelled=lambda: os.getppid() != request.parent_pid,
    )
    digest = CheckpointStore(work_dir).write(0, state.export(), {})
    result = Result(digest, len(events))
    (work_dir / RESULT).write_bytes(msgspec.json.encode(result))
    return result


def _start(request: Request) -> LearningState:
    """The tip: its vocabulary and memory are taken over, its weights are not."""
    if request.version == FIRST_VERSION:
        return LearningState.initial(request.learning)
    bundle = CheckpointStore(Path(request.checkpoint_dir)).load(request.version, request.digest)
    try:
        return LearningState.restore(bundle, request.learning)
    except ValueError:  # another encoder, dimension or heads: what is not weights is taken over
        return LearningState.recall(bundle, request.learning)


def _events(request: Request) -> list[Event]:
    """All events up to the tip's position but repeats and what was refused."""
    weights = EventWeights(request.event_types, request.positive_from)
    signals = Signals(weights, bytes.fromhex(request.secret_hex))
    return signals.events(row.interaction for row in _rows(request) if not row.repeat)


def _rows(request: Request) -> Iterator[ArchivedEvent]:
    archive, after = Archive(Path(request.archive_dir)), START
    for start, end in request.excluded:
        if (begins := Position.parse(start)) > after:
            yield from archive.read(after, begins)
        after = max(after, Position.parse(end))
    if (until := Position.parse(request.until)) > after:
        yield from archive.read(after, until)


def _tell(work_dir: Path, share: float) -> None:
    """Leave the share done where the learner looks; a torn write is read as the one before."""
    part = work_dir / f"{PROGRESS}.part"
    part.write_text(f"{share:.4f}")
    part.replace(work_dir / PROGRESS)


if __name__ == "__main__":
    train(msgspec.json.decode(sys.stdin.buffer.read(), type=Request))
