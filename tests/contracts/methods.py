"""Methods as their suites run them: switched off and on, and the windows that they learn."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor

from models.config import LearningConfig
from models.continual.state import LearningState
from models.continual.window import Candidate, learn_window
from models.interactions import Event, Sample
from models.registry import METHODS
from tests.models.tastes import checkerboard, event, learned, windows

OFF: dict[str, dict[str, Any]] = {
    "l2": {"strength": 0.0},
    "ewc": {"strength": 0.0},
    "online-ewc": {"strength": 0.0},
    "si": {"strength": 0.0},
    "generative-replay": {"ratio": 0.0},
    "distillation": {"strength": 0.0},
    "feature-extraction": {"after": 10**6},
    "progressive": {"most": 0},
    "den": {"most": 0, "selected": 1.0},
    "adapters": {"after": 10**6},
    "fine-tuning": {"layers": 0},
    "reptile": {"rate": 0.0},
    "soft-sharing": {"strength": 0.0},
}
"""By method, the parameters under which it changes nothing. `replay` has none: nothing is drawn."""
ON: dict[str, dict[str, Any]] = {
    "l2": {"strength": 10.0},
    "ewc": {"strength": 100.0},
    "online-ewc": {"strength": 100.0},
    "si": {"strength": 10.0},
    "distillation": {"strength": 5.0, "on": "both", "adaptive": False},
    "adapters": {"after": 3},  # born in the update that is looked at
    "soft-sharing": {"strength": 5.0},
    "progressive": {"every": 1, "width": 3},
    "den": {"threshold": -1.0, "units": 3},
}
"""Where the defaults are too mild to be seen in a test this small."""
HEADS: dict[str | None, tuple[str, ...]] = {"soft-sharing": ("click", "purchase")}
"""By method, the heads without which it has nothing to do."""

each_method = pytest.mark.parametrize("name", METHODS)


def config(name: str | None, encoder: str = "gru", **parameters: Any) -> LearningConfig:
    return LearningConfig(
        encoder=encoder,
        methods=() if name is None else (name,),
        type_heads=HEADS.get(name, ()),
        parameters={} if name is None else {name: parameters},
        embedding_dim=8,
        probe_share=0.0,
        layers=1,
        epochs=1,
        min_steps=5,
        fisher_samples=16,
    )


def second_window(settings: LearningConfig, parent: LearningState | None = None) -> Candidate:
    """Both tastes learned, then a window under `settings`, with a draw."""
    state = parent if parent is not None else grown_up(settings)
    return learn_window(state, window(), seed=1, draw=drawn())


def before() -> list[Event]:
    return checkerboard()


@functools.cache
def grown_up(settings: LearningConfig) -> LearningState:
    """A state that has learned both tastes."""
    return learned(LearningState.initial(settings), before())


def window() -> list[Event]:
    """Tastes flip, and some users come who meet items that are new."""
    new = [event(f"v{n % 4}", f"C{n % 7}", 5_000 + n) for n in range(40)]
    return [*windows(checkerboard(flipped=True))[0], *new]


def nothing() -> list[Event]:
    """A window that has nothing to train on."""
    return [event("u0", "A0", 4_000, weight=0.0)]


@functools.cache
def drawn(*, flipped: bool = False) -> list[Sample]:
    """What a replay buffer would give of the first period, or of one of flipped tastes."""
    parent = LearningState.initial(config(None))
    return learn_window(parent, checkerboard(flipped=flipped)[:240], seed=3, draw=()).admitted


def weights(candidate: Candidate) -> dict[str, Tensor]:
    return candidate.state.net.snapshot()


def different(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return any(not torch.equal(left[name], right[name]) for name in left)
