"""Versions whose mixing an earlier state of the code has learned are learned on and served."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from models.mixing.blend import NETWORK
from models.mixing.features import place_of_rank
from models.mixing.mixing import Mixing
from models.parameters import Bundle
from models.sources import SOURCES
from service.domain.versions import Origin, VersionRecord
from service.serving.model import ServingModel
from service.settings import Settings
from tests.models.older import without_hours
from tests.service.learner.test_mixing import HEARD, Both, both, chain
from tests.service.learner.world import World

BEFORE = ("covisits", "walk", "rules", "fast-rules", "own", NETWORK)
"""Sources among which is one that is no more."""


@pytest.fixture
def two(settings: Settings) -> Iterator[Both]:
    with both(settings) as two:
        yield two


def published(world: World, bundle: Bundle) -> VersionRecord:
    """The bundle as the version after the tip."""
    registry = world.stores.registry
    head, version = registry.head(), registry.next_version()
    tip = registry.version(head.tip)
    return registry.publish(
        head,
        (),
        version=version,
        origin=Origin.INCREMENTAL,
        position=head.position,
        digest=world.stores.checkpoints.write(version, bundle, {}),
        strategy=tip.strategy,
        metrics={},
        gate=tip.gate,
    )


def heard_before() -> Mixing:
    """One that believes `rules` most, and has listened to who is gone."""
    mixing = Mixing.initial(BEFORE)
    weights = mixing.mixer.weights.clone()
    weights[place_of_rank(BEFORE, "rules")] = 7.0
    weights[place_of_rank(BEFORE, "fast-rules")] = 9.0
    gains = [{"fast-rules": 1.0}] * 50
    return Mixing(replace(mixing.mixer, weights=weights), mixing.experts.after(gains))


def test_one_that_heard_a_source_that_is_no_more_is_learned_on_and_served(two: Both) -> None:
    """Even where that source was the leader, and where it was told nothing of the hour."""
    tip = two.learn(chain(100, 1))
    old = heard_before()
    assert old.experts.leader == "fast-rules"
    whole = replace(two.world.state(tip), mixing=old).export()
    record = published(two.world, without_hours(whole))
    bundle = two.world.stores.checkpoints.load(record.version, record.digest, parts=("serving",))
    served = ServingModel.load(record, bundle).mixing
    assert served is not None
    assert served.sources == HEARD
    assert float(served.mixer.weights[place_of_rank(HEARD, "rules")]) == 7.0
    assert served.experts.leader in (*HEARD, "mixer")
    after = two.learn(chain(100, 2))
    said = two.world.stores.registry.version(after)
    assert said.parent == record.version
    assert said.metrics["mixing"]["lessons"] > 20
    mixing = two.mixing(after)
    assert mixing.sources == (*SOURCES, NETWORK)
    assert bool(torch.isfinite(mixing.mixer.weights).all())
    assert float(mixing.mixer.weights[place_of_rank(HEARD, "rules")]) > 5.0, "what it knew stays"
    stored = two.world.stores.checkpoints.load(after, said.digest, parts=("serving",))
    assert "hour" in stored.meta["mixing"]["features"]
