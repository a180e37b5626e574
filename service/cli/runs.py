"""Finished runs of an evaluation on disk, so that an interrupted one goes on where it was.

A run is kept under its arm, its seed and a digest of all that its ranks depend on: the stream, the
protocol and the hyperparameters. Another digest is another file, so that a run is never taken for
what it is not; changed code is not noticed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np

from models.evaluation.arm import ArmSetup
from models.evaluation.periods import updates_of
from models.evaluation.protocol import ArmRun
from models.evaluation.stream import Stream
from models.memory.config import MemoryConfig
from models.sources import SOURCES

FORMAT = 1
"""Number of the layout of the files, and of what ranks mean."""
PARTS = ("fit_s", "update_s", "answer_s", "probe_s", "costs")


def circumstances(stream: Stream, setup: ArmSetup, asked: Mapping[str, Any]) -> str:
    """A digest of all that the ranks and seconds of any arm depend on, but arm and seed.

    Args:
        stream: the events, their periods and stretches, and who is a probe.
        setup: hyperparameters, windows and device.
        asked: what the command was asked for.
    """
    digest = sha256()
    options = {
        "format": FORMAT,
        "config": asdict(setup.config) | {"seed": None},
        "window": setup.window,
        "device": setup.device,
        "probe_share": stream.probe_share,
        "baskets": asked["baskets"],
        "stop_after": asked["stop_after"],
        "share": asked["share"],
        "share_seed": asked["seed"] if asked["share"] < 1.0 else None,
        "threads": asked["threads"],
    }
    if asked.get("noise") is not None:
        options["noise"] = asked["noise"]
    if stream.micro_windows > 1:
        options["micro_windows"] = stream.micro_windows
        options["weights_windows"] = updates_of(stream.micro_windows, setup.weights_windows)
    if (setup.memory, setup.sources) != (MemoryConfig(), tuple(SOURCES)):
        options["memory"] = asdict(setup.memory)
        options["sources"] = setup.sources
    if setup.contents:
        told = {item: asdict(content) for item, content in setup.contents.items()}
        options["contents"] = sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    digest.update(json.dumps(options, sort_keys=True).encode())
    for texts in (stream.users.ids, stream.items.ids, stream.types):
        digest.update(json.dumps(list(texts)).encode())
    for column in (stream.user, stream.item, stream.time_ms, stream.weight, stream.bounds):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


class RunFiles:
    """Runs as `.npz` files, each written beside its place and then moved there.

    Args:
        folder: made when the first run is kept.
        digest: see `circumstances`.
    """

    def __init__(self, folder: Path, digest: str) -> None:
        self._folder, self._digest = folder, digest

    def path(self, name: str, seed: int) -> Path:
        """Where the run of this arm and seed belongs."""
        return self._folder / f"{name}-{seed}-{self._digest[:16]}.npz"

    def find(self, name: str, seed: int) -> ArmRun | None:
        """The kept run; None when there is none, or none that can be read."""
        path = self.path(name, seed)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as parts:
                if str(parts["digest"]) != self._digest:
                    return None
                return _read(name, seed, {key: parts[key] for key in parts.files})
        except (OSError, BadZipFile, ZlibError, ValueError, KeyError, EOFError):
            return None

    def keep(self, run: ArmRun) -> None:
        """Write the run down; a reader meets all of it or nothing.

        Raises:
            OSError: it cannot be written; nothing of it stays.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self.path(run.name, run.seed)
        unfinished = path.with_suffix(f".{os.getpid()}.part")
        try:
            with unfinished.open("wb") as file:
                parts: dict[str, Any] = _written(run)
                np.savez_compressed(file, **parts, digest=np.asarray(self._digest))
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise


def _written(run: ArmRun) -> dict[str, np.ndarray[Any, Any]]:
    meta = {name: getattr(run, name) for name in PARTS}
    meta |= {"periods": len(run.ranks), "models": len(run.probe_ranks)}
    arrays: dict[str, np.ndarray[Any, Any]] = {"meta": np.asarray(json.dumps(meta))}
    arrays |= {f"ranks_{place}": ranks for place, ranks in enumerate(run.ranks)}
    for model, line in enumerate(run.probe_ranks):
        arrays |= {f"probes_{model}_{place}": ranks for place, ranks in enumerate(line)}
    return arrays


def _read(name: str, seed: int, parts: Mapping[str, np.ndarray[Any, Any]]) -> ArmRun:
    meta = json.loads(str(parts["meta"]))
    periods = range(meta["periods"])
    return ArmRun(
        name,
        seed,
        ranks=[parts[f"ranks_{place}"] for place in periods],
        probe_ranks=[
            [parts[f"probes_{model}_{place}"] for place in periods]
            for model in range(meta["models"])
        ],
        **{part: meta[part] for part in PARTS},
    )
