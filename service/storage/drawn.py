"""Files of what was chosen for a window before it became a fact, named by their digest."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256
from pathlib import Path

from service.errors import LostDraw
from service.storage.files import Step, write_file


class Drawn:
    """Files of one kind.

    Args:
        directory: made when it is not there; theirs alone.
        step: called before each step of a write.
    """

    def __init__(self, directory: Path, step: Step) -> None:
        self._directory = directory
        self._step = step
        directory.mkdir(parents=True, exist_ok=True)

    def write(self, window: str, data: bytes) -> str:
        """Keep `data`; sha256 (hex) of it.

        Args:
            window: a name for the window, such as its start.
        """
        digest = sha256(data).hexdigest()
        path = self._path(window, digest)
        if not path.exists():
            write_file(path, data, self._step)
        return digest

    def read(self, window: str, digest: str) -> bytes:
        """What was kept.

        Raises:
            LostDraw: the file is gone or not what the digest says.
        """
        try:
            data = self._path(window, digest).read_bytes()
        except OSError as error:
            raise LostDraw(f"the draw of window {window} cannot be read") from error
        if sha256(data).hexdigest() != digest:
            raise LostDraw(f"the draw of window {window} is not what was recorded")
        return data

    def keep(self, kept: Collection[tuple[str, str]]) -> None:
        """Drop all but these (name, digest)."""
        paths = {self._path(*one) for one in kept}
        for path in self._directory.glob("*.msgpack"):
            if path not in paths:
                path.unlink(missing_ok=True)

    def _path(self, window: str, digest: str) -> Path:
        return self._directory / f"{window}-{digest[:12]}.msgpack"
