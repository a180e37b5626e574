"""Bad windows, bad entries, repeats: none is learned, none blocks, none comes round again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models.continual.window import Candidate, learn_window
from service.domain.versions import VersionStatus, WindowStatus
from service.learner.names import draw_name
from service.storage.keys import Keys
from tests.service.learner.world import World, clicks, opened, post, settle, small_settings


@pytest.fixture
def world(tmp_path: Path, redis_url: str, sqlite_url: str, keys: Keys) -> Iterator[World]:
    settings = small_settings(tmp_path / "data", redis_url, sqlite_url, keys.namespace)
    with opened(settings) as world:
        yield world


class Death(BaseException):
    """What takes a process down: no handler of the learner's may catch it."""


def with_nan(*args: Any, **named: Any) -> Candidate:
    """An update that went wrong: one weight is no number."""
    candidate = learn_window(*args, **named)
    for tensor in candidate.state.net.snapshot().values():
        if tensor.numel():
            tensor.view(-1)[0] = torch.nan
            break
    return candidate


def mixed_up(*args: Any, **named: Any) -> Candidate:
    candidate = learn_window(*args, **named)
    rows = candidate.state.net.snapshot()["items"]
    rows.copy_(rows.roll(1, 0))
    return candidate


def failing(*args: Any, **named: Any) -> Candidate:
    raise RuntimeError("no such luck")


def refused_second_window(world: World, learn: Any) -> None:
    """Learn a window well, one with `learn`, one well again."""
    registry = world.stores.registry
    post(world.settings, clicks(100))
    settle(world.learner())
    before = registry.head()
    post(world.settings, clicks(100, seed=1))
    settle(world.learner(learn=learn))
    after = registry.head()
    assert (after.active, after.tip) == (before.active, before.tip)
    assert after.position == world.stores.log.last()
    window = registry.windows()[-1]
    assert window.status is WindowStatus.REFUSED
    assert registry.passed_by(after.position) == [(window.start, window.end)]
    assert window.window_id not in world.stores.buffer.windows()
    assert sum(1 for _ in world.stores.archive.read(window.start, window.end)) == 100
    post(world.settings, clicks(100, seed=2))
    settle(world.learner())
    head = registry.head()
    assert registry.version(head.tip).parent == before.tip
    assert registry.version(head.tip).metrics["positive"] == 100
    assert [w.status.value for w in registry.windows()] == ["learned", "refused", "learned"]


def test_a_candidate_with_nan_is_refused_and_registered_as_rejected(world: World) -> None:
    refused_second_window(world, with_nan)
    rejected = world.stores.registry.version(3)
    assert rejected.status is VersionStatus.REJECTED
    assert rejected.gate["verdict"] == "refused"
    assert "finite" in rejected.gate["reason"]


def test_a_window_that_breaks_learning_is_refused(world: World) -> None:
    refused_second_window(world, failing)
    assert world.stores.registry.windows()[1].status is WindowStatus.REFUSED


def test_a_window_that_no_learner_survives_is_passed_by(world: World) -> None:
    limited = world.settings.learner.model_copy(update={"max_attempts": 2})
    world.settings = world.settings.model_copy(update={"learner": limited})
    post(world.settings, clicks(100))

    def dying(*args: Any, **named: Any) -> Candidate:
        raise Death

    for _ in range(2):
        with pytest.raises(Death):
            world.learner(learn=dying).turn()
    learner = world.learner(learn=dying)
    settle(learner)
    window = world.stores.registry.windows()[0]
    assert window.status is WindowStatus.REFUSED
    assert world.stores.registry.head().position == window.end
    assert world.stores.registry.head().tip == 1


def test_a_window_whose_draw_is_lost_is_cut_anew(world: World) -> None:
    post(world.settings, clicks(200))
    world.learner().turn()

    def dying(*args: Any, **named: Any) -> Candidate:
        raise Death

    with pytest.raises(Death):
        settle(world.learner(learn=dying))
    for draw in (world.settings.data_dir / "archive" / "draws").glob("*.msgpack"):
        draw.unlink()
    settle(world.learner())
    registry = world.stores.registry
    assert registry.head().position == world.stores.log.last()
    assert [w.status for w in registry.windows()] == [WindowStatus.LEARNED] * 2
    assert float(world.state(registry.head().tip).counts.sum()) == 200.0


def test_the_draw_of_a_window_in_work_is_never_swept_away(world: World) -> None:
    """A learner that was fenced in the middle of its aftermath wakes beside its successor."""
    post(world.settings, clicks(200))
    first = world.learner()
    first.turn()

    def swept(*args: Any, **named: Any) -> Candidate:
        first._aftermath._drop_files()
        return learn_window(*args, **named)

    settle(world.learner(learn=swept))
    window = world.stores.registry.windows()[-1]
    assert world.stores.archive.read_draw(
        draw_name(window.start, window.parent), window.draw_digest
    )


def test_mixed_up_labels_are_refused(world: World) -> None:
    """An update after which each item wears the weights of another: all is finite, and wrong."""
    changed: dict[str, Any] = {"probe_share": 0.3, "gate_min_users": 10, "top_k": 5}
    config = replace(world.settings.learning, methods=(), epochs=8, learning_rate=0.05, **changed)
    window = world.settings.window.model_copy(update={"max_events": 1_000})
    world.settings = world.settings.model_copy(update={"learning": config, "window": window})
    post(world.settings, clicks(3_000, users=100, items=6), batch=500)
    settle(world.learner())
    registry = world.stores.registry
    assert registry.head().tip == 4
    post(world.settings, clicks(1_000, seed=1, users=100, items=6), batch=500)
    learner = world.learner(learn=mixed_up)
    settle(learner)
    assert registry.head().tip == 4
    assert registry.windows()[-1].status is WindowStatus.REFUSED
    assert "fell" in registry.version(5).gate["reason"]
    assert not learner.turn()


def test_what_is_posted_three_times_is_learned_once(world: World) -> None:
    events = clicks(100)
    for _ in range(3):
        post(world.settings, events)
    settle(world.learner())
    registry = world.stores.registry
    versions = [registry.version(version) for version in (2, 3, 4)]
    assert [version.metrics["positive"] for version in versions] == [100, 0, 0]
    assert [version.metrics["repeats"] for version in versions] == [0, 100, 100]
    assert float(world.state(4).counts.sum()) == 100.0


def test_repeats_are_known_after_a_restart(world: World) -> None:
    post(world.settings, clicks(100))
    settle(world.learner())
    post(world.settings, clicks(100))
    settle(world.learner())
    assert world.stores.registry.version(3).metrics["repeats"] == 100


def test_the_same_event_id_of_another_user_is_no_repeat(world: World) -> None:
    events = clicks(50)
    others = [replace(event, user_id=f"x-{event.user_id}") for event in events]
    post(world.settings, events + others)
    settle(world.learner())
    assert world.stores.registry.version(2).metrics["positive"] == 100


@pytest.mark.parametrize("fields", [{b"v": b"9"}, {b"v": b"1", b"p": b"\xff", b"n": b"3"}])
def test_a_corrupt_entry_is_buried_and_passed(world: World, fields: dict[Any, Any]) -> None:
    post(world.settings, clicks(50))
    world.stores.client.xadd(world.stores.keys.log, fields)
    post(world.settings, clicks(50, seed=1))
    learner = world.learner()
    settle(learner)
    registry = world.stores.registry
    assert registry.version(2).metrics["positive"] == 100
    assert registry.head().position == world.stores.log.last()
    assert world.stores.log.dead_letters() == 1
    assert world.status.fields["dead_letters"] == 1


def test_a_posted_window_of_flipped_labels_is_refused_or_does_little_harm(world: World) -> None:
    """Nothing in the learner is touched: the poison comes as any client's events do.

    Its own hold-outs are flipped as well, so only the probes of honest periods speak against it,
    and replay and consolidation let it spoil little.
    """
    learning = replace(world.settings.learning, epochs=4, probe_share=0.2, top_k=5)
    window = world.settings.window.model_copy(update={"max_events": 2_000})
    shipped = world.settings.model_copy(update={"learning": learning, "window": window})
    lenient = replace(learning, gate_margin=1.0)  # which refuses no honest window by chance
    world.settings = shipped.model_copy(update={"learning": lenient})
    registry = world.stores.registry
    post(world.settings, clicks(6_000, users=400, items=10), batch=500)
    settle(world.learner())
    assert registry.head().tip == 4
    world.settings = shipped
    flipped = [
        replace(event, item_id=f"{'BA'['AB'.index(event.item_id[0])]}{event.item_id[1:]}")
        for event in clicks(2_000, seed=1, users=400, items=10)
    ]
    post(world.settings, flipped, batch=500)
    settle(world.learner())
    gate = registry.version(5).gate
    honest = gate["old"]["bands"][:3]
    assert gate["old"]["enough"]
    after, reference = (
        sum(band[name] for band in honest) for name in ("recall@5", "reference_recall@5")
    )
    assert reference > 1.2, "of three bands: the tastes had been learned"
    assert gate["verdict"] == "refused" or after > 0.85 * reference
