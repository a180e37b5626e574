"""Checkpoints: whole or not at all, and never loaded when a single bit is wrong."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from models.continual.bundle import Bundle
from service.errors import CorruptCheckpoint
from service.storage.checkpoints import CheckpointStore

FILES = ("serving.safetensors", "learning.safetensors", "ids.json", "manifest.json")


def bundle() -> Bundle:
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(7, 4, generator=generator)
    return Bundle(
        tensors={
            "serving": {"items": table, "first": table[0], "turned": table.T},
            "learning": {
                "fisher": torch.rand(7, 4, generator=generator, dtype=torch.float64),
                "half": torch.ones(2, dtype=torch.bfloat16),
                "steps": torch.tensor(12),
                "rows": torch.arange(5),
                "touched": torch.tensor([True, False]),
                "none": torch.empty(0, 4),
            },
        },
        ids={"items": ["a", "ü/∞", "c"], "users": []},
        meta={"encoder": "gru", "embedding_dim": 4},
    )


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints")


def only(tmp_path: Path) -> Path:
    """The one checkpoint's directory."""
    (found,) = (tmp_path / "checkpoints").iterdir()
    return found


def test_a_round_trip_is_exact(store: CheckpointStore, tmp_path: Path) -> None:
    put = bundle()
    digest = store.write(3, put, {"parent": 2, "seed": 7})
    found = store.load(3, digest)
    assert (found.ids, found.meta) == (put.ids, put.meta)
    for part, tensors in put.tensors.items():
        assert found.tensors[part].keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert found.tensors[part][name].dtype == tensor.dtype
            assert torch.equal(found.tensors[part][name], tensor), (part, name)
    assert only(tmp_path).name == f"3-{digest[:12]}"
    manifest = store.manifest(3, digest)
    assert (manifest["parent"], manifest["version"]) == (2, 3)
    assert sha256((only(tmp_path) / "manifest.json").read_bytes()).hexdigest() == digest


def test_serving_needs_only_its_part(store: CheckpointStore, tmp_path: Path) -> None:
    digest = store.write(3, bundle(), {})
    (only(tmp_path) / "learning.safetensors").unlink()
    assert store.load(3, digest, parts=("serving",)).tensors.keys() == {"serving"}
    with pytest.raises(CorruptCheckpoint):
        store.load(3, digest)


def test_writing_the_same_again_leaves_what_may_be_in_service(
    store: CheckpointStore, tmp_path: Path
) -> None:
    digest = store.write(3, bundle(), {"seed": 7})
    before = only(tmp_path).stat().st_ino
    assert store.write(3, bundle(), {"seed": 7}) == digest
    assert only(tmp_path).stat().st_ino == before


def test_writing_the_same_again_heals_a_broken_one(store: CheckpointStore, tmp_path: Path) -> None:
    digest = store.write(3, bundle(), {"seed": 7})
    (only(tmp_path) / "ids.json").write_bytes(b"{}")
    assert store.write(3, bundle(), {"seed": 7}) == digest
    store.load(3, digest)


@pytest.mark.parametrize("name", FILES)
def test_any_flipped_bit_is_found(store: CheckpointStore, tmp_path: Path, name: str) -> None:
    digest = store.write(3, bundle(), {})
    path = only(tmp_path) / name
    sound = path.read_bytes()
    for at in range(0, len(sound), max(len(sound) // 60, 1)):
        broken = bytearray(sound)
        broken[at] ^= 1 << (at % 8)
        path.write_bytes(bytes(broken))
        with pytest.raises(CorruptCheckpoint):
            store.load(3, digest)
    path.write_bytes(sound)
    store.load(3, digest)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["gone", "empty", "shorter", "longer", "directory"])
def test_any_damaged_file_is_found(
    store: CheckpointStore, tmp_path: Path, name: str, damage: str
) -> None:
    digest = store.write(3, bundle(), {})
    path = only(tmp_path) / name
    data = path.read_bytes()
    path.unlink()
    if damage == "directory":
        path.mkdir()
    elif damage != "gone":
        path.write_bytes({"empty": b"", "shorter": data[:-1], "longer": data + b"\0"}[damage])
    with pytest.raises(CorruptCheckpoint):
        store.load(3, digest)


def forge(path: Path, change: Callable[[dict[str, torch.Tensor]], object], honest: bool) -> str:
    """Change the serving tensors and make the digests agree; `honest` restates them, too."""
    part = path / "serving.safetensors"
    tensors = safetensors.torch.load(part.read_bytes())
    change(tensors)
    data = safetensors.torch.save(tensors)
    part.write_bytes(data)
    manifest: dict[str, Any] = json.loads((path / "manifest.json").read_bytes())
    manifest["files"][part.name] = {"sha256": sha256(data).hexdigest(), "bytes": len(data)}
    if honest:
        manifest["tensors"]["serving"] = {
            name: {"shape": list(one.shape), "dtype": str(one.dtype).removeprefix("torch.")}
            for name, one in tensors.items()
        }
    text = json.dumps(manifest).encode()
    digest = sha256(text).hexdigest()
    (path / "manifest.json").write_bytes(text)
    path.rename(path.with_name(f"3-{digest[:12]}"))
    return digest


FORGERIES: dict[str, Callable[[dict[str, torch.Tensor]], None]] = {
    "extra tensor": lambda tensors: tensors.update(more=torch.zeros(1)),
    "missing tensor": lambda tensors: tensors.__delitem__("first"),
    "wrong dtype": lambda tensors: tensors.update(first=tensors["first"].double()),
    "wrong shape": lambda tensors: tensors.update(first=tensors["first"].reshape(2, 2)),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_tensors_must_be_those_that_are_stated(
    store: CheckpointStore, tmp_path: Path, name: str
) -> None:
    store.write(3, bundle(), {})
    digest = forge(only(tmp_path), FORGERIES[name], honest=False)
    with pytest.raises(CorruptCheckpoint, match="other tensors"):
        store.load(3, digest)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_must_be_finite(store: CheckpointStore, tmp_path: Path, value: float) -> None:
    store.write(3, bundle(), {})
    digest = forge(only(tmp_path), lambda tensors: tensors["first"].fill_(value), honest=True)
    with pytest.raises(CorruptCheckpoint, match="finite"):
        store.load(3, digest)


def test_a_pickle_is_never_executed(store: CheckpointStore, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"

    class Trap:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return Path.touch, (trap,)

    store.write(3, bundle(), {})
    path = only(tmp_path)
    data = pickle.dumps(Trap())
    (path / "serving.safetensors").write_bytes(data)
    manifest = json.loads((path / "manifest.json").read_bytes())
    stated = {"sha256": sha256(data).hexdigest(), "bytes": len(data)}
    manifest["files"]["serving.safetensors"] = stated
    text = json.dumps(manifest).encode()
    digest = sha256(text).hexdigest()
    (path / "manifest.json").write_bytes(text)
    path.rename(path.with_name(f"3-{digest[:12]}"))
    with pytest.raises(CorruptCheckpoint):
        store.load(3, digest)
    assert not trap.exists()


def test_an_unknown_checkpoint_is_corrupt_not_a_crash(store: CheckpointStore) -> None:
    assert not store.exists(9, "f" * 64)
    with pytest.raises(CorruptCheckpoint):
        store.load(9, "f" * 64)


def test_a_manifest_must_be_json_that_has_words_for_it(store: CheckpointStore) -> None:
    with pytest.raises(ValueError, match="JSON"):
        store.write(3, bundle(), {"loss": float("nan")})


STEPS = (
    "make directory",
    *(f"write {name}" for name in FILES),
    "fsync directory",
    "rename",
    "fsync parent",
)


def test_every_step_is_named(tmp_path: Path) -> None:
    seen: list[str] = []
    CheckpointStore(tmp_path, step=seen.append).write(3, bundle(), {})
    assert tuple(seen) == STEPS


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_leaves_a_checkpoint_whole_or_none(tmp_path: Path, step: str) -> None:
    def crash(name: str) -> None:
        if name == step:
            raise KeyboardInterrupt

    directory = tmp_path / "checkpoints"
    with pytest.raises(KeyboardInterrupt):
        CheckpointStore(directory, step=crash).write(3, bundle(), {})
    store = CheckpointStore(directory)
    left = [path.name for path in directory.iterdir()]
    assert len(left) == (1 if step == "fsync parent" else 0)
    digest = store.write(3, bundle(), {})
    assert only(tmp_path).name == f"3-{digest[:12]}"
    store.load(3, digest)


def test_pruning_keeps_what_is_named_newer_or_foreign(
    store: CheckpointStore, tmp_path: Path
) -> None:
    digests = {version: store.write(version, bundle(), {}) for version in range(2, 7)}
    (tmp_path / "checkpoints" / ".tmp-9-other").mkdir()
    (tmp_path / "checkpoints" / "notes").mkdir()
    assert store.prune([(3, digests[3]), (5, digests[5])]) == 2
    left = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert left == {f"{v}-{digests[v][:12]}" for v in (3, 5, 6)} | {".tmp-9-other", "notes"}
