"""Hyperparameters: one page of names, one meaning each.

Every name below is a setting of the service, too (`FRESHET_LEARNING__<NAME>`), checked when the
value is made, so that a wrong one is refused at start with a sentence and not at midnight.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from models.registry import ENCODERS, METHODS, encoders_of, found

LOSSES = ("softmax", "gbce")


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningConfig:
    """How a model is built, updated, consolidated and judged.

    Raises:
        ValueError: a name that does not exist or a number out of its range; the message says
            what is allowed.
    """

    # the encoder
    encoder: str = "gru"
    """`gru` or `sasrec` (a query from the history) or `mf` (a query from the user's row)."""
    layers: int = 2
    """Blocks of `sasrec`; no other encoder has any."""
    heads: int = 2
    """Heads of the attention in `sasrec`; they divide `embedding_dim`."""
    embedding_dim: int = 64
    """D, the length of an item row and of a query."""
    max_history: int = 50
    """S, the number of latest interactions of a user that a query is made from."""
    dropout: float = 0.3
    """Share of the encoder's inputs and outputs (`sasrec`: of each part) zeroed in training."""
    normalize: bool = True
    """Cosine scores with a learned temperature; plain dot products when false."""
    temperature: float = 12.0
    """Initial factor on cosine scores (the inverse temperature, learned afterwards)."""
    type_heads: tuple[str, ...] = ()
    """Event types with a head of their own on the encoder; all others share one query."""

    # one update
    learning_rate: float = 0.004
    """Step size of the dense weights; rows take three times as much."""
    final_rate: float = 1.0
    """Share of the learning rate left at the end of an update; it falls pass by pass (1: not)."""
    batch_size: int = 128
    """Sequences in a step; every position of a sequence is a target."""
    epochs: int = 4
    """Passes over the new samples in an incremental update."""
    full_epochs: int = 12
    """Passes over the archive in a full retrain."""
    patience: int = 0
    """Passes without a better loss on held-out samples after which an update or retrain stops and
    takes the best pass; 0: never. Where nobody is held out, a tenth of the users waits."""
    lookahead: float = 0.2
    """Share of targets replaced by a later item of the same sample: tastes beside next steps."""
    min_steps: int = 80
    """An update takes at least so many steps while it has any sample: small windows count too."""
    loss: str = "softmax"
    """`softmax` (sampled) or `gbce` (binary cross entropy with negatives, calibrated)."""
    calibration: float = 0.75
    """t of `gbce`: 0 is plain binary cross entropy, 1 undoes the confidence of few negatives."""
    num_negatives: int = 1024
    """Negatives shared by a batch: `softmax` by smoothed popularity with logQ, `gbce` uniform."""
    skip_weight: float = 1.0
    """What an item that was skipped weighs against the user's positive events of the same window,
    pair by pair; 0: nothing is learned of skips."""
    weight_decay: float = 0.0
    """Pull of the touched weights to zero, per step."""

    # the methods against forgetting, composed as a list
    methods: tuple[str, ...] = ("online-ewc", "replay")
    """Names of methods, each at most once, in any order."""
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)
    """Parameters of methods by name, such as `{"online-ewc": {"strength": 10}}`."""
    fisher: str = "empirical"
    """Labels the Fisher is taken at: `empirical` (those observed) or `sampled` (the model's)."""
    fisher_samples: int = 1024
    """Targets per consolidation that the Fisher is estimated from."""
    replay_ratio: float = 1.0
    """Replayed samples per new sample in an update."""
    replay_size: int = 30_000
    """Samples kept in the replay buffer, at most."""
    replay_bytes: int = 0
    """Bytes of these samples, as they are stored, at most; 0 is no bound."""

    # windows and the gate
    probe_share: float = 0.01
    """Users (by keyed hash) that no mode ever trains on: the memory of past periods."""
    probe_bands: int = 16
    """Age bands the probes are kept in."""
    probe_size: int = 5_000
    """Probe queries kept in all."""
    holdout_share: float = 0.1
    """Users of a window held out of its update and trained with the next."""
    gate_margin: float = 0.05
    """Relative loss that is tolerated before significance is asked."""
    gate_confidence: float = 0.95
    """Confidence of the bootstrap intervals that the gate refuses by."""
    gate_min_users: int = 30
    """Below so many users the gate says `insufficient_evidence` and accepts."""
    top_k: int = 20
    """K of Recall@K, NDCG@K and MRR@K, here and in the gate."""
    seed: int = 0
    """Seed of the first weights; every window has its own beside it."""

    def __post_init__(self) -> None:
        _one_of("encoder", self.encoder, ENCODERS)
        _one_of("loss", self.loss, LOSSES)
        _one_of("fisher", self.fisher, ("empirical", "sampled"))
        for method in (*self.methods, *self.parameters):
            _one_of("methods", method, METHODS)
        for method, given in self.parameters.items():
            found("methods", method, METHODS).read(given)
        for method in self.methods:
            _works_with(method, self.encoder)
        for name in ("methods", "type_heads"):
            _each_once(name, getattr(self, name))
        if "" in self.type_heads:
            raise ValueError("type_heads: an event type has a name")
        object.__setattr__(self, "type_heads", tuple(sorted(self.type_heads)))  # a set of names
        for name in (
            "embedding_dim",
            "layers",
            "heads",
            "max_history",
            "batch_size",
            "epochs",
            "full_epochs",
            "num_negatives",
            "fisher_samples",
            "probe_bands",
            "top_k",
        ):
            _at_least(name, getattr(self, name), 1)
        for name in (
            "min_steps",
            "patience",
            "replay_size",
            "replay_bytes",
            "probe_size",
            "gate_min_users",
            "seed",
        ):
            _at_least(name, getattr(self, name), 0)
        for name in ("skip_weight", "weight_decay", "replay_ratio", "gate_margin"):
            _at_least(name, getattr(self, name), 0.0)
        for name in ("learning_rate", "temperature"):
            _between(name, getattr(self, name), 0.0, 1e3, open_below=True)
        for name in (
            "dropout",
            "lookahead",
            "calibration",
            "final_rate",
            "probe_share",
            "holdout_share",
        ):
            _between(name, getattr(self, name), 0.0, 1.0)
        if self.encoder == "sasrec" and self.embedding_dim % self.heads:
            raise ValueError(
                f"heads: must divide embedding_dim {self.embedding_dim}, got {self.heads}"
            )
        _between("gate_confidence", self.gate_confidence, 0.5, 0.9999)

    @property
    def unused(self) -> list[str]:
        """Methods that are given parameters and not named in `methods`: these change nothing."""
        return [name for name in self.parameters if name not in self.methods]


def _one_of(name: str, value: str, allowed: Collection[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}: {value!r} is not known; allowed are {', '.join(allowed)}")


def _works_with(method: str, encoder: str) -> None:
    if encoder not in (fit := encoders_of(method)):
        raise ValueError(
            f"methods: {method} works with {' and '.join(sorted(fit))}, not with {encoder}"
        )


def _each_once(name: str, values: Collection[str]) -> None:
    if len(set(values)) != len(values):
        raise ValueError(f"{name}: each at most once, got {list(values)}")


def _at_least(name: str, value: float, low: float) -> None:
    if not low <= value < float("inf"):
        what = "finite" if value == float("inf") else f"at least {low}"
        raise ValueError(f"{name}: must be {what}, got {value}")


def _between(name: str, value: float, low: float, high: float, *, open_below: bool = False) -> None:
    if not (low < value if open_below else low <= value) or not value <= high:
        bracket = "(" if open_below else "["
        raise ValueError(f"{name}: must lie in {bracket}{low}, {high}], got {value}")
