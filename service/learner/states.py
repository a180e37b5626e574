"""Learning states of versions: in memory while they are needed, else from their checkpoints."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from models.config import LearningConfig
from models.continual.state import LearningState
from models.nets import encoder_named, encoder_of
from service.domain.versions import FIRST_VERSION
from service.storage.checkpoints import CheckpointStore
from service.storage.registry import Registry

_STRUCTURE = ("encoder", "embedding_dim", "normalize", "type_heads")
"""What weights belong to, beside the encoder's own settings: learning goes on under other changed
settings, but not under these."""


class EncoderChanged(ValueError):
    """The settings ask for another structure than the tip has: only a full retrain can follow."""


class States:
    """The learner's memory of versions; everything in it can be read again.

    A state is never changed once it is here: learning makes a new one.
    """

    def __init__(
        self, registry: Registry, checkpoints: CheckpointStore, config: LearningConfig
    ) -> None:
        self._registry = registry
        self._checkpoints = checkpoints
        self._config = config
        self._held: dict[int, LearningState] = {}

    def to_learn_from(self, version: int) -> LearningState:
        """The state of `version` under the present settings.

        Raises:
            EncoderChanged: it has another encoder, dimension or heads than the settings ask for.
            CorruptCheckpoint: its files are not what they should be.
        """
        state = self.as_it_was(version)
        found = _structure(state.config)
        for name, asked in _structure(self._config).items():
            if found.get(name) != asked:
                raise EncoderChanged(
                    f"{name}: version {version} has {found.get(name)!r}, "
                    f"the settings ask for {asked!r}"
                )
        return state

    def as_it_was(self, version: int) -> LearningState:
        """The state of `version`, whatever its encoder: to be judged and scored."""
        if version not in self._held:
            self._held[version] = self._load(version)
        return self._held[version]

    def hold(self, version: int, state: LearningState) -> None:
        self._held[version] = state

    def let_go(self, but: set[int] | frozenset[int] = frozenset()) -> None:
        """Forget every state but those of `but`."""
        self._held = {version: state for version, state in self._held.items() if version in but}

    def _load(self, version: int) -> LearningState:
        if version == FIRST_VERSION:
            return LearningState.initial(self._config)
        bundle = self._checkpoints.load(version, self._registry.version(version).digest)
        net = bundle.meta["net"]
        built = replace(self._config, **_kept(net))
        return LearningState.restore(bundle, built)


def _structure(config: LearningConfig) -> dict[str, Any]:
    """What weights under `config` belong to, by name."""
    return {name: getattr(config, name) for name in _STRUCTURE} | dict(encoder_of(config).settings)


def _kept(net: dict[str, Any]) -> dict[str, Any]:
    """The settings that the net of a version's meta was built with."""
    names = (*_STRUCTURE, *encoder_named(net["encoder"], net).settings)
    found = {"type_heads": (), **net}  # which a version without any does not name
    return {name: found[name] for name in names}
