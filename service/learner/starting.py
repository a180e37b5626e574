"""The first version made of another service's checkpoint, where the settings name one.

What was learned there about items and users is taken over, what is a function of its log is not
(histories, probes, hold-outs): this service has a log of its own. It is a version as any other,
published before the first window is cut, so that answers have it at once.
"""

from __future__ import annotations

from pathlib import Path

from models.config import LearningConfig
from models.continual.state import LearningState
from service.domain.interactions import START
from service.domain.versions import FIRST_VERSION, Head
from service.errors import CorruptCheckpoint, SettingsError
from service.learner.learning import Lesson
from service.storage.checkpoints import load_directory


class Starting:
    """Looks whether there is anything to start from.

    Args:
        path: a checkpoint's directory; None starts from nothing.
        config: under which learning goes on.
    """

    def __init__(self, path: Path | None, config: LearningConfig) -> None:
        self._path = path
        self._config = config

    def lesson(self, head: Head) -> Lesson | None:
        """The state to begin with; None once anything was learned, and where no path is set.

        Raises:
            SettingsError: there is no checkpoint, or it is of another structure than the settings
                ask for; the message says which.
        """
        if self._path is None or (head.tip, head.position) != (FIRST_VERSION, START):
            return None
        try:
            state = LearningState.transferred(load_directory(self._path), self._config)
        except (CorruptCheckpoint, ValueError) as error:
            raise SettingsError(f"learner.start_from: {self._path}: {error}") from error
        known = {"items": len(state.items), "users": len(state.users)}
        return Lesson(
            state=state,
            admitted=(),
            accepted=True,
            gate={},
            champion=None,
            metrics={"started_from": self._path.name, **known},
        )
