"""The encoders and methods there are, by the names that settings use.

A new one is a file of its own and a line here. The lines name places, so that a process which only
checks its settings loads none of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

ENCODERS: Mapping[str, str] = {
    "gru": "models.nets.gru:GruEncoder",
    "mf": "models.nets.mf:MatrixFactorization",
    "sasrec": "models.nets.sasrec:SasRec",
}

METHODS: Mapping[str, str] = {
    "l2": "models.continual.l2:L2",
    "ewc": "models.continual.ewc:Ewc",
    "online-ewc": "models.continual.online_ewc:OnlineEwc",
    "si": "models.continual.synaptic:SynapticIntelligence",
    "replay": "models.continual.replay:Replay",
    "generative-replay": "models.continual.generative:GenerativeReplay",
    "distillation": "models.continual.distillation:Distillation",
    "feature-extraction": "models.continual.transfer:FeatureExtraction",
    "progressive": "models.continual.progressive:Progressive",
    "den": "models.continual.expandable:Expandable",
    "adapters": "models.continual.adapters:DomainAdapters",
    "fine-tuning": "models.continual.fine_tuning:FineTuning",
    "reptile": "models.continual.reptile:Reptile",
    "soft-sharing": "models.continual.soft_sharing:SoftSharing",
}

LIMITED: Mapping[str, tuple[str, ...]] = {
    "fine-tuning": ("gru", "sasrec"),  # `mf` has no layers
}
"""Encoders of the methods that do not work with whatever encoder there is."""


def encoders_of(method: str) -> frozenset[str]:
    """The encoders that the method of this name works with."""
    return frozenset(LIMITED.get(method, ENCODERS))


def methods_with(encoder: str) -> tuple[str, ...]:
    """Names of all methods that work with the encoder of this name."""
    return tuple(method for method in METHODS if encoder in encoders_of(method))


def found(what: str, name: str, known: Mapping[str, str]) -> Any:
    """The class that `name` stands for.

    Args:
        what: the setting that names it, for the message.
        name: a key of `known`.
        known: `ENCODERS` or `METHODS`.

    Raises:
        ValueError: there is none; the message says what there is.
    """
    if name not in known:
        raise ValueError(f"{what}: {name!r} is not known; allowed are {', '.join(known)}")
    module, _, attribute = known[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
