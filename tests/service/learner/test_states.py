"""Which weights learning goes on with under changed settings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.learner.states import EncoderChanged, States
from tests.service.learner.world import World, clicks, post, settle


@pytest.mark.parametrize(
    "changes", [{"layers": 1}, {"heads": 4}, {"encoder": "gru"}, {"type_heads": ("click",)}]
)
def test_an_encoder_built_otherwise_is_scored_but_not_learned_from(
    world: World, changes: dict[str, object]
) -> None:
    learning = replace(world.settings.learning, encoder="sasrec")
    world.settings = world.settings.model_copy(update={"learning": learning})
    post(world.settings, clicks(100))
    settle(world.learner())
    tip = world.stores.registry.head().tip

    def states(**changed: object) -> States:
        asked = replace(learning, **changed)  # type: ignore[arg-type]
        return States(world.stores.registry, world.stores.checkpoints, asked)

    assert states().to_learn_from(tip).net.encoder.settings == {"layers": 2, "heads": 2}
    with pytest.raises(EncoderChanged, match=next(iter(changes))):
        states(**changes).to_learn_from(tip)
    kept = states(**changes).as_it_was(tip)
    assert (kept.net.encoder.name, kept.config.layers, kept.config.heads) == ("sasrec", 2, 2)


def test_settings_of_encoders_that_are_not_asked_for_do_not_matter(world: World) -> None:
    post(world.settings, clicks(100))
    settle(world.learner())
    asked = replace(world.settings.learning, layers=5, heads=3)
    states = States(world.stores.registry, world.stores.checkpoints, asked)
    assert states.to_learn_from(world.stores.registry.head().tip).config.layers == 5


def test_heads_that_are_no_longer_asked_for_are_scored_but_not_learned_from(world: World) -> None:
    learning = replace(world.settings.learning, type_heads=("purchase", "click"))
    world.settings = world.settings.model_copy(update={"learning": learning})
    post(world.settings, clicks(100))
    settle(world.learner())
    tip = world.stores.registry.head().tip

    def states(*heads: str) -> States:
        asked = replace(learning, type_heads=heads)
        return States(world.stores.registry, world.stores.checkpoints, asked)

    assert states("click", "purchase").to_learn_from(tip).net.heads.types == ("click", "purchase")
    with pytest.raises(EncoderChanged, match="type_heads"):
        states("click").to_learn_from(tip)
    assert states().as_it_was(tip).net.heads.types == ("click", "purchase")
