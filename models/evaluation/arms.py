"""The register of arms: a new method is a class behind `Arm` and a line here."""

from __future__ import annotations

from collections.abc import Iterable

from models.evaluation.arm import ArmKind
from models.evaluation.learning import Frozen, Learner
from models.evaluation.linear import Ease, ImplicitAls
from models.evaluation.neighbours import SessionNeighbours
from models.evaluation.popularity import OwnFrequency, Popularity, RecentPopularity
from models.evaluation.transitions import HISTORY, Transitions

KINDS = (
    ArmKind("frozen", "the service's network after the base, never updated", Frozen),
    ArmKind("freshet", "the service's own update, every default", Learner),
    ArmKind(
        "finetune",
        "the same without any method against forgetting",
        lambda setup: Learner(setup, methods=()),
    ),
    ArmKind(
        "ewc",
        "the same with online EWC alone",
        lambda setup: Learner(setup, methods=("online-ewc",)),
    ),
    ArmKind(
        "replay", "the same with replay alone", lambda setup: Learner(setup, methods=("replay",))
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
        "ease", "a linear item-item model in closed form, solved each period", lambda _: Ease()
    ),
    ArmKind(
        "ials",
        "implicit matrix factorization, factored anew each period",
        lambda setup: ImplicitAls(seed=setup.seed),
    ),
)
"""All arms, in the order of the table."""

DEFAULT = ("frozen", "freshet", "popularity", "recent-popularity", "own-frequency", "markov")
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
