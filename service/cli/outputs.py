"""Where an evaluation leaves its figures: looked at before the work, written after it."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import typer

from service.errors import BadRequest


def check_outputs(json_file: Path | None, plots: Path | None, resume: Path | None) -> None:
    """Say before hours of work, not after, what could not be written. Nothing is made here.

    Raises:
        BadRequest: a place that cannot be written to, or drawings without their library.
    """
    if plots is not None and find_spec("matplotlib") is None:
        raise BadRequest("evaluate: --plots needs matplotlib: pip install 'freshet[plots]'")
    if json_file is not None:
        try:
            _check_file(json_file)
        except OSError as error:
            raise BadRequest(f"evaluate: --json: {_reason(json_file, error)}") from None
    for name, folder in (("--plots", plots), ("--resume", resume)):
        if folder is not None:
            try:
                _check_folder(folder)
            except OSError as error:
                raise BadRequest(f"evaluate: {name}: {_reason(folder, error)}") from None


def deliver(document: dict[str, Any], json_file: Path | None, plots: Path | None) -> bool:
    """Write the file and the drawings; what cannot be written is said, and the rest is.

    Returns:
        Whether everything asked for was written.
    """
    done = True
    try:
        if json_file is not None:
            text = json.dumps(document, indent=1, allow_nan=False) + "\n"
            json_file.write_text(text, encoding="utf-8")
    except OSError as error:
        done = False
        typer.echo(f"--json: {_reason(json_file, error)}", err=True)
    try:
        if plots is not None:
            from service.cli.plots import draw

            for path in draw(document, plots):
                typer.echo(f"drawn: {path}", err=True)
    except OSError as error:
        done = False
        typer.echo(f"--plots: {_reason(plots, error)}", err=True)
    return done


def _check_file(path: Path) -> None:
    """Whether a file can be written there; its folder is not made.

    Raises:
        OSError: it cannot.
    """
    if path.is_dir():
        raise IsADirectoryError("it is a folder")
    if not path.parent.is_dir():
        raise NotADirectoryError(f"there is no folder {path.parent}")
    if path.exists():
        with path.open("ab"):
            return
    with TemporaryFile(dir=path.parent):
        return


def _check_folder(path: Path) -> None:
    """Whether files can be written into a folder that is there or can be made.

    Raises:
        OSError: they cannot.
    """
    nearest = next(part for part in (path, *path.absolute().parents) if part.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(f"{nearest} is no folder")
    with TemporaryFile(dir=nearest):
        return


def _reason(path: Path | None, error: OSError) -> str:
    return f"{path} cannot be written: {error.strerror or error}"
