"""The methods there are, by the name that settings use."""

from __future__ import annotations

from models.config import LearningConfig
from models.continual.ewc import Ewc
from models.continual.l2 import L2
from models.continual.online_ewc import OnlineEwc
from models.continual.regularizer import Regularizer


def regularizers() -> dict[str, type[Regularizer]]:
    """Every regularizer by name. (`replay` is no penalty: see `models.continual.replay`.)"""
    found: list[type[Regularizer]] = [L2, Ewc, OnlineEwc]
    return {kind.name: kind for kind in found}


def chosen_regularizers(config: LearningConfig) -> dict[str, Regularizer]:
    """Those that `config.methods` names, before anything is consolidated."""
    known = regularizers()
    return {name: known[name].initial(config) for name in config.methods if name in known}
