"""Versions whose encoders have grown: published, answered with, rolled back, learned on from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from service.serving.model import ServingModel
from tests.service.learner.world import World, clicks, post, settle

METHODS = ("progressive", "den", "adapters", "online-ewc", "replay")
PARAMETERS: dict[str, dict[str, Any]] = {
    "progressive": {"every": 1, "width": 4},
    "adapters": {"domains": 2},
    "den": {"threshold": -1.0, "units": 2, "prune": 0.0},
}


def blocks(world: World, version: int) -> int:
    return len(world.state(version).net.blocks.of("progressive"))


def test_versions_carry_their_blocks_and_a_rollback_its_smaller_encoder(world: World) -> None:
    learning = replace(world.settings.learning, methods=METHODS, parameters=PARAMETERS)
    world.settings = world.settings.model_copy(update={"learning": learning})
    registry = world.stores.registry
    post(world.settings, clicks(300))
    settle(world.learner())
    tip = registry.head().tip
    counts = [blocks(world, version) for version in range(2, tip + 1)]
    assert counts == [0, 1, 2]
    assert len(world.state(tip).net.blocks.of("den")[0]) >= 2
    adapters = [world.state(version).net.adapters.domains for version in range(2, tip + 1)]
    assert adapters[0] == ()
    assert {0, 1} <= set(adapters[1]) <= set(adapters[2])
    for version in range(2, tip + 1):
        record, state = registry.version(version), world.state(version)
        bundle = world.stores.checkpoints.load(version, record.digest)
        serving = ServingModel.load(record, bundle)
        assert serving.net is not None
        histories = [[0, 1], [2]]
        assert torch.equal(serving.net.encode(histories), state.net.encode(histories))
        assert len(state.dense_state.mean) == len(state.net.dense)

    registry.activate(tip - 1)
    post(world.settings, clicks(100, seed=1))
    settle(world.learner())
    follower = registry.version(registry.head().tip)
    assert follower.parent == tip - 1
    assert blocks(world, follower.version) == 2
    assert blocks(world, tip - 1) == 1
    assert world.state(tip - 1).net.adapters.domains == adapters[1]
