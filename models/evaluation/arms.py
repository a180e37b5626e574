"""The register of arms: a new method is a class behind `Arm` and a line here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from models.evaluation.arm import ArmKind
from models.evaluation.content import ContentLearner, ContentNeighbours
from models.evaluation.ensembles import Ensemble, Seeds
from models.evaluation.learning import Frozen, Learner, MultiTask
from models.evaluation.linear import Ease, ImplicitAls
from models.evaluation.mixture import Mixture, SourceAlone
from models.evaluation.neighbours import SessionNeighbours
from models.evaluation.popularity import OwnFrequency, Popularity, RecentPopularity
from models.evaluation.retraining import FullRetrain, LastPeriod, WarmRetrain
from models.evaluation.transitions import HISTORY, Transitions
from models.sources import CONTENT, SOURCES


def _learner(name: str, summary: str, *methods: str, **parameters: Mapping[str, Any]) -> ArmKind:
    """The service's own update with these methods in place of the configured ones."""
    return ArmKind(name, summary, lambda setup: Learner(setup, methods, parameters))


def _replay(name: str, share: float) -> ArmKind:
    """Replay alone, with a buffer of this share of the base."""
    summary = f"replay with a buffer of {share:.0%} of the base's samples"
    return ArmKind(name, summary, lambda setup: Learner(setup, ("replay",), replay_share=share))


KINDS = (
    ArmKind("frozen", "the service's network after the base, never updated", Frozen),
    ArmKind("freshet", "the service as configured: network, fast memory and mixer", Mixture),
    ArmKind("network", "its network alone: the service's own update, as configured", Learner),
    ArmKind("ensemble", "network, answered for by its last three versions together", Ensemble),
    ArmKind("seeds", "network, learned from two seeds and answered for by both together", Seeds),
    _learner("finetune", "the same without any method against forgetting"),
    _learner("l2", "the same with the plain pull to the last weights alone", "l2"),
    _learner("ewc", "the same with EWC alone, an anchor for each update", "ewc"),
    _learner("online-ewc", "the same with online EWC alone, one decayed anchor", "online-ewc"),
    _learner("si", "the same with synaptic intelligence alone", "si"),
    _learner("replay", "the same with replay alone", "replay"),
    _replay("replay-1", 0.01),
    _replay("replay-4", 0.04),
    _learner("ewc-replay", "the same with online EWC and replay", "online-ewc", "replay"),
    _learner(
        "generative-replay", "the same with histories that the model makes up", "generative-replay"
    ),
    _learner(
        "distillation",
        "the same, held to the last model's opinion on the new samples",
        "distillation",
        distillation={"on": "new", "adaptive": False},
    ),
    _learner(
        "adversarial-distillation",
        "the same, answers on the new samples distributed as the last model's",
        "distillation",
        distillation={"form": "adversarial", "on": "new", "adaptive": False},
    ),
    _learner(
        "replay-distillation",
        "replay, held to the last model's opinion on what is replayed, as ADER",
        "replay",
        "distillation",
    ),
    _learner("feature-extraction", "the encoder stands still after the base", "feature-extraction"),
    _learner("progressive", "the encoder stands still, new blocks on it learn", "progressive"),
    _learner("den", "units grow when a period is hard, and go when of no use", "den"),
    _learner("adapters", "the encoder stands still, an adapter for each domain learns", "adapters"),
    _learner(
        "fine-tuning",
        "the encoder's layers stand still after the base and learn again one by one",
        "fine-tuning",
        **{"fine-tuning": {"layers": 2, "unfreeze": 2}},
    ),
    _learner("reptile", "new items begin where new items have ended", "reptile"),
    ArmKind("multi-task", "network with a head for each event type, asked by type", MultiTask),
    ArmKind(
        "soft-sharing",
        "the same with the heads held to each other",
        lambda setup: MultiTask(setup, extra=("soft-sharing",)),
    ),
    ArmKind("last-period", "fresh weights on the last period alone", LastPeriod),
    ArmKind("warm-retrain", "everything so far again, from the current weights", WarmRetrain),
    ArmKind(
        "full-retrain", "everything so far again, from fresh weights: the ceiling", FullRetrain
    ),
    *(
        ArmKind(
            f"source-{name}",
            f"{name} of the fast memory alone",
            partial(SourceAlone, name),
            reads_items=name == CONTENT,
        )
        for name in SOURCES
    ),
    ArmKind("popularity", "events per item since the beginning", lambda _: Popularity()),
    ArmKind(
        "recent-popularity", "events per item in the last period", lambda _: RecentPopularity()
    ),
    ArmKind("own-frequency", "what the user took most often before now", lambda _: OwnFrequency()),
    ArmKind("markov", "what followed the last item or basket", lambda _: Transitions(1, 1)),
    ArmKind(
        "rules",
        "sequential rules: what followed within 10 steps, asked with the history",
        lambda _: Transitions(10, HISTORY),
    ),
    ArmKind("vsknn", "the 100 most alike past sessions", lambda _: SessionNeighbours()),
    ArmKind(
        "vsknn-budget",
        "the same with so many sessions kept as replay keeps samples, the latest",
        lambda setup: SessionNeighbours(kept=setup.config.replay_size),
    ),
    ArmKind("content", "the items whose text is closest to the history", ContentNeighbours, True),
    ArmKind(
        "network-content",
        "network, items with few events ranked by what their text foretells",
        ContentLearner,
        True,
    ),
    ArmKind(
        "ease", "a linear item-item model in closed form, solved each period", lambda _: Ease()
    ),
    ArmKind(
        "ials",
        "implicit matrix factorization, factored anew each period",
        lambda setup: ImplicitAls(seed=setup.seed),
    ),
)
"""All arms, in the order of the table."""

DEFAULT = (
    "frozen",
    "freshet",
    "network",
    "popularity",
    "recent-popularity",
    "own-frequency",
    "markov",
)
"""Run when none are named: learning, its absence, and what costs nothing."""


def named(names: Iterable[str]) -> list[ArmKind]:
    """The kinds of these names, in the order of the table.

    Raises:
        ValueError: a name that does not exist, or none at all.
    """
    wanted = set(names)
    known = [kind.name for kind in KINDS]
    if unknown := sorted(wanted.difference(known)):
        raise ValueError(f"arms: {', '.join(unknown)} not known; there are {', '.join(known)}")
    if not wanted:
        raise ValueError("arms: at least one must be named")
    return [kind for kind in KINDS if kind.name in wanted]
