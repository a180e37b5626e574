"""Checkpoints: immutable directories of safetensors and JSON, verified to the byte when loaded.

A directory `<version>-<first 12 digits of the digest>` holds

    serving.safetensors, learning.safetensors …   one file per group of tensors
    ids.json                                      external ids in the order of their rows
    manifest.json                                 sha256 and length of each file, shape and dtype
                                                  of each tensor, and what the learner says of it

The registry holds the manifest's sha256. Nothing in a file is ever executed.

Commit order: temporary directory, fsync of files, fsync of the directory, rename, fsync of the
parent. A crash anywhere leaves the checkpoint whole or leaves none; only then may the registry
name it.
"""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Collection, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from models.continual.bundle import Bundle
from service.errors import CorruptCheckpoint
from service.storage.files import Step, fsync_directory, no_step, write_through

FORMAT = 1
_NAME = re.compile(r"^(\d+)-([0-9a-f]{12})$")
_MANIFEST = "manifest.json"
_IDS = "ids.json"


class CheckpointStore:
    """Checkpoints under `directory`.

    Args:
        directory: made when it is not there.
        step: called before each step of a write.
    """

    def __init__(self, directory: Path, *, step: Step = no_step) -> None:
        self._directory = directory
        self._step = step
        directory.mkdir(parents=True, exist_ok=True)

    def write(self, version: int, bundle: Bundle, manifest: Mapping[str, Any]) -> str:
        """Make `bundle` a checkpoint.

        Args:
            version: the number it will be registered under.
            bundle: tensors on any device; they are written from the CPU.
            manifest: JSON-able; what else is to be known of it.

        Returns:
            The digest: sha256 (hex) of the manifest.
        """
        temporary = self._directory / f".tmp-{version}-{uuid.uuid4().hex}"
        try:
            digest = self._fill(temporary, version, bundle, manifest)
            self._publish(temporary, version, digest)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return digest

    def load(
        self, version: int, digest: str, parts: Collection[str] = ("serving", "learning")
    ) -> Bundle:
        """The checkpoint's bundle with the tensor groups `parts`, all of it verified.

        Raises:
            CorruptCheckpoint: a file is missing or not what the manifest says, the manifest is
                not what the registry says, or a number is not finite.
        """
        path = self._path(version, digest)
        manifest = self.manifest(version, digest)
        try:
            tensors = {part: _load_part(path, part, manifest) for part in parts}
            ids = json.loads(_verified(path, _IDS, manifest))
            meta = manifest["meta"]
        except (KeyError, TypeError, ValueError, SafetensorError) as error:
            raise CorruptCheckpoint(f"checkpoint {path.name}: {error!r}") from error
        return Bundle(tensors=tensors, ids=ids, meta=meta)

    def manifest(self, version: int, digest: str) -> dict[str, Any]:
        """The checkpoint's manifest.

        Raises:
            CorruptCheckpoint: it is missing, or not what `digest` says.
        """
        path = self._path(version, digest)
        data = _read(path / _MANIFEST)
        if sha256(data).hexdigest() != digest:
            raise CorruptCheckpoint(
                f"checkpoint {path.name}: the manifest is not the registered one"
            )
        manifest: dict[str, Any] = json.loads(data)
        if manifest.get("format") != FORMAT:
            raise CorruptCheckpoint(f"checkpoint {path.name}: format {manifest.get('format')!r}")
        return manifest

    def exists(self, version: int, digest: str) -> bool:
        """Whether the checkpoint is there (not whether it is sound)."""
        return (self._path(version, digest) / _MANIFEST).is_file()

    def prune(self, keep: Collection[tuple[int, str]]) -> int:
        """Remove the checkpoints that are not in `keep`, (version, digest) each; returns how many.

        Newer ones than all of `keep` stay, for their commit may be under way; so do temporary
        directories, which may be another writer's.
        """
        names = {self._path(version, digest).name for version, digest in keep}
        newest = max((version for version, _ in keep), default=0)
        removed = 0
        for path in self._directory.iterdir():
            found = _NAME.match(path.name)
            if found is not None and path.name not in names and int(found[1]) <= newest:
                shutil.rmtree(path, ignore_errors=True)
                removed += 1
        return removed

    def _fill(
        self, temporary: Path, version: int, bundle: Bundle, manifest: Mapping[str, Any]
    ) -> str:
        """All files into the temporary directory, each through to the disk; returns the digest."""
        self._step("make directory")
        temporary.mkdir()
        contents = {
            f"{part}.safetensors": safetensors.torch.save(_plain(tensors))
            for part, tensors in bundle.tensors.items()
        }
        contents[_IDS] = json.dumps(bundle.ids).encode()
        full = {
            **manifest,
            "format": FORMAT,
            "version": version,
            "meta": bundle.meta,
            "files": {
                name: {"sha256": sha256(data).hexdigest(), "bytes": len(data)}
                for name, data in contents.items()
            },
            "tensors": {
                part: {name: _described(tensor) for name, tensor in tensors.items()}
                for part, tensors in bundle.tensors.items()
            },
        }
        contents[_MANIFEST] = json.dumps(full, allow_nan=False, sort_keys=True).encode()
        for name, data in contents.items():
            self._step(f"write {name}")
            write_through(temporary / name, data)
        return sha256(contents[_MANIFEST]).hexdigest()

    def _publish(self, temporary: Path, version: int, digest: str) -> None:
        """Give the directory its name. One that has it already stays: it may be in service."""
        final = self._path(version, digest)
        self._step("fsync directory")
        fsync_directory(temporary)
        self._step("rename")
        if not self._is_sound(version, digest):
            shutil.rmtree(final, ignore_errors=True)
            temporary.rename(final)
        self._step("fsync parent")
        fsync_directory(self._directory)

    def _is_sound(self, version: int, digest: str) -> bool:
        if not self.exists(version, digest):
            return False
        try:
            self.load(version, digest, self.manifest(version, digest)["tensors"])
        except CorruptCheckpoint:
            return False
        return True

    def _path(self, version: int, digest: str) -> Path:
        return self._directory / f"{version}-{digest[:12]}"


def load_directory(path: Path) -> Bundle:
    """The checkpoint in a directory, wherever that lies, held to the digest in its name.

    Raises:
        CorruptCheckpoint: there is none, or it is not whole.
    """
    named = _NAME.match(path.name)
    if named is None or not (path / _MANIFEST).is_file():
        raise CorruptCheckpoint(
            f"{path.name} is no checkpoint; it must be a directory such as 17-0123456789ab"
        )
    digest = sha256(_read(path / _MANIFEST)).hexdigest()
    if not digest.startswith(named[2]):
        raise CorruptCheckpoint(f"checkpoint {path.name}: the manifest is not that of its name")
    return CheckpointStore(path.parent).load(int(named[1]), digest)


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU, contiguous, and none sharing memory with another."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def _described(tensor: Tensor) -> dict[str, Any]:
    return {"shape": list(tensor.shape), "dtype": str(tensor.dtype).removeprefix("torch.")}


def _load_part(path: Path, part: str, manifest: Mapping[str, Any]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = safetensors.torch.load(
        _verified(path, f"{part}.safetensors", manifest)
    )
    found = {name: _described(tensor) for name, tensor in tensors.items()}
    if found != manifest["tensors"][part]:
        raise CorruptCheckpoint(f"checkpoint {path.name}: {part} holds other tensors than it says")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CorruptCheckpoint(f"checkpoint {path.name}: {part}/{name} is not finite")
    return tensors


def _verified(path: Path, name: str, manifest: Mapping[str, Any]) -> bytes:
    """The bytes of a file, which are those that are used: nothing is read twice."""
    stated = manifest["files"][name]
    data = _read(path / name)
    if len(data) != stated["bytes"] or sha256(data).hexdigest() != stated["sha256"]:
        raise CorruptCheckpoint(f"checkpoint {path.name}: {name} is not what the manifest says")
    return data


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CorruptCheckpoint(f"checkpoint file {path.name} cannot be read") from error
