"""The mixing learns with every window, of what the fast memory's process has written down."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from structlog.testing import capture_logs

from models.config import LearningConfig
from models.continual.hearing import completed, learn_mixing
from models.continual.state import LearningState
from models.mixing.blend import NETWORK
from models.mixing.features import names, place_of, place_of_rank
from models.mixing.hedge import MIXER
from models.mixing.mixer import Lesson
from models.mixing.mixing import JUDGED, Mixing
from models.mixing.recorded import Recorded
from models.sources import SOURCES
from service.domain.interactions import START, Interaction, Position
from service.domain.online import Shown
from service.domain.recommendations import PERSONALIZED
from service.domain.versions import JobMode, Origin
from service.learner.tutor import Tutor, taught_until
from service.memory.keeper import Keeper
from service.memory.status import Status as KeeperStatus
from service.memory.stores import open_stores as open_memory
from service.serving.model import ServingModel
from service.settings import Settings
from service.storage.clock import now_ms
from service.storage.lessons import pack, unpack
from service.storage.online import Given, OnlineStore
from service.storage.receipts import Receipts
from tests.service.learner.world import World, differences, opened, post, settle

HEARD = (*SOURCES, NETWORK)


@dataclass
class Both:
    """A learner's world and the keeper of the same log."""

    world: World
    keeper: Keeper

    def remember(self) -> None:
        while self.keeper.turn():
            pass

    def learn(self, events: list[Interaction], **replaced: Any) -> int:
        """Post, remember, learn; the tip."""
        post(self.world.settings, events)
        self.remember()
        settle(self.world.learner(**replaced))
        return self.world.stores.registry.head().tip

    def mixing(self, version: int) -> Mixing:
        mixing = self.world.state(version).mixing
        assert mixing is not None
        return mixing


@contextmanager
def both(settings: Settings, **memory: Any) -> Iterator[Both]:
    wanted = {"lesson_share": 0.5, "lessons_per_batch": 1_000, "batch_events": 50, **memory}
    settings = settings.model_copy(update={"memory": settings.memory.model_copy(update=wanted)})
    with opened(settings) as world, open_memory(settings) as stores:
        status = KeeperStatus(stores.client, stores.keys)
        yield Both(world, Keeper(stores, settings, status))


@pytest.fixture
def two(settings: Settings) -> Iterator[Both]:
    with both(settings) as two:
        yield two


def chain(count: int, seed: int, items: int = 30) -> list[Interaction]:
    """Everybody goes along one ring, each from somewhere: what follows what is always right."""
    generator, at = np.random.default_rng(seed), 0
    found: list[Interaction] = []
    while len(found) < count:
        start, user = int(generator.integers(items)), f"{seed}-{at}"
        at += 1
        for step in range(5):
            item, time_ms = f"i-{(start + step) % items}", 1_000_000 * seed + 60 * len(found)
            found.append(Interaction(user, item, "click", time_ms, f"{user}-{step}"))
    return found[:count]


def same(one: Mixing, other: Mixing) -> bool:
    mine, yours = one.tensors(), other.tensors()
    return all(torch.equal(mine[name], yours[name]) for name in mine)


def test_what_answers_showed_is_learned_of(two: Both) -> None:
    """From the event that names an answer, through the fast memory, into the version."""
    world = two.world
    two.learn(chain(100, 1))
    events, receipts = chain(100, 2), Receipts(world.stores.registry.secret())
    store = OnlineStore(world.stores.client, world.stores.keys, world.settings.online)
    for at, event in enumerate(events):
        id_, receipt = receipts.issue(1, PERSONALIZED, now_ms(), event.user_id)
        shown = Shown(1, (f"i-{at % 30}", event.item_id), ("model",) * 2)
        if at % 30 != int(event.item_id[2:]):
            store.keep([Given(receipt.nonce, now_ms(), shown, shown.counts(None))], {}, now_ms())
            events[at] = replace(event, recommendation_id=id_)
    said = world.stores.registry.version(two.learn(events)).metrics["mixing"]
    assert 20 < said["answers"] < said["lessons"]
    assert said["judged_by"] == (said["lessons"] - said["answers"]) // JUDGED


def test_the_mixer_moves_towards_the_source_that_is_right(two: Both) -> None:
    for seed in range(1, 5):
        tip = two.learn(chain(100, seed))
    records = [two.world.stores.registry.version(version) for version in range(2, tip + 1)]
    said = [record.metrics["mixing"] for record in records]
    assert sum(one["lessons"] for one in said) > 100
    assert all(one["kept"] for one in said)
    assert said[-1]["after"] > said[1]["before"]
    place, mixing = place_of_rank(HEARD, "rules"), two.mixing(tip)
    before = Mixing.initial(HEARD, two.world.settings.learning.seed).mixer.weights[place]
    assert mixing.mixer.weights[place] > before
    earned = dict(zip(mixing.experts.names, mixing.experts.earned, strict=True))
    assert earned["rules"] == max(earned[name] for name in HEARD)
    assert mixing.experts.weights[mixing.experts.names.index("rules")] > 1 / len(HEARD)
    assert said[-1]["speaks"].keys() >= set(HEARD)
    assert said[-1]["leader"] in (MIXER, "rules")
    assert said[-1]["until"] == str(taught_until(two.world.state(tip)))


def test_each_lesson_teaches_once(two: Both) -> None:
    kept = two.world.stores.lessons.between
    head = two.world.stores.registry.head
    for seed in (1, 2, 3):
        post(two.world.settings, chain(100, seed))
        if seed != 2:  # the memory is late: what it tells then is learned with the next window
            two.remember()
        settle(two.world.learner())
    learned = [
        two.world.stores.registry.version(version).metrics["mixing"]["lessons"]
        for version in range(2, head().tip + 1)
    ]
    assert learned[1] == 0 < learned[2]
    assert sum(learned) == len(kept(START, head().position, 10**6))
    assert list((two.world.stores.archive_dir / "lessons").iterdir()) == []


def test_the_network_is_heard_as_it_was_before_the_window(two: Both) -> None:
    tip = two.learn(chain(200, 1))
    post(two.world.settings, chain(50, 2))
    two.remember()
    parent = two.world.state(tip)
    told = two.world.stores.lessons.between(taught_until(parent), two.world.stores.log.last(), 99)
    recorded = [unpack(data) for _, data in told]
    assert len(recorded) == len(told) > 10
    first = place_of(HEARD, NETWORK)
    for lesson, full in zip(recorded, completed(parent, recorded), strict=True):
        assert np.array_equal(
            np.delete(full.features, np.s_[first : first + 3], axis=1),
            np.delete(lesson.features, np.s_[first : first + 3], axis=1),
        )
        if not lesson.history:
            assert not full.features[:, first : first + 3].any()
            continue
        rows = parent.items.rows(lesson.items)
        with torch.inference_mode():
            history = parent.items.rows(lesson.history).tolist()
            logits = (parent.net.encode([history]) @ parent.net.item_vectors().T)[0]
        share = torch.exp(logits - logits.max())[torch.from_numpy(rows)].numpy()
        assert np.allclose(full.features[:, first], share, atol=1e-3)
        best = int(np.argmax(logits.numpy()))
        rank = full.features[:, place_of_rank(HEARD, NETWORK)]
        assert np.array_equal(rank == 1.0, rows == best)


def test_a_window_done_again_makes_the_same_mixing(two: Both) -> None:
    """Though the memory has forgotten by then what it told."""
    two.learn(chain(100, 1))
    post(two.world.settings, chain(100, 2))
    two.remember()

    def died(step: str) -> None:
        if step == "written":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        settle(two.world.learner(reached=died))
    checkpoints = two.world.stores.checkpoints
    window = two.world.stores.registry.window_in_work(two.world.stores.registry.head().tip)
    assert window is not None
    two.world.stores.client.delete(two.world.stores.keys.memory_lessons)
    written = {path.name for path in two.world.stores.checkpoint_dir.iterdir()}
    settle(two.world.learner())
    head = two.world.stores.registry.head()
    record = two.world.stores.registry.version(head.tip)
    assert record.metrics["mixing"]["lessons"] > 20
    assert any(name.endswith(record.digest[:12]) for name in written), "the same files, to the bit"
    bundle = checkpoints.load(record.version, record.digest)
    assert differences(bundle, two.world.state(record.version).export()) == []


def test_a_rollback_brings_its_mixing_back(two: Both) -> None:
    first = two.learn(chain(100, 1))
    second = two.learn(chain(100, 2))
    assert not same(two.mixing(first), two.mixing(second))
    two.world.stores.registry.activate(first)
    third = two.learn(chain(100, 3))
    record = two.world.stores.registry.version(third)
    assert record.parent == first
    until = two.world.state(second).mixing_until
    lessons = two.world.stores.lessons.between(
        taught_until(two.world.state(second)), two.world.stores.registry.head().position, 999
    )
    assert record.metrics["mixing"]["lessons"] == len(lessons) > 0, "none of those undone"
    assert until < record.metrics["mixing"]["until"]
    parent = two.world.state(first)
    recorded = [unpack(data) for _, data in lessons]
    window = next(
        one
        for one in two.world.stores.registry.windows()
        if one.parent == first and one.start >= two.world.stores.registry.version(second).position
    )
    expected, _ = learn_mixing(parent, recorded, tuple(SOURCES), seed=window.seed)
    assert same(expected, two.mixing(third))


def test_what_is_served_has_it_and_a_full_retrain_keeps_it(two: Both) -> None:
    tip = two.learn(chain(200, 1))
    two.world.stores.jobs.ask(JobMode.FULL, "", START)
    learner = two.world.learner()
    for _ in range(400):
        learner.turn()
        head = two.world.stores.registry.head()
        if head.tip != tip:
            break
        threading.Event().wait(0.05)
    record = two.world.stores.registry.version(head.tip)
    assert record.origin is Origin.FULL
    assert same(two.mixing(tip), two.mixing(head.tip))
    assert two.world.state(tip).mixing_until == two.world.state(head.tip).mixing_until
    bundle = two.world.stores.checkpoints.load(record.version, record.digest, parts=("serving",))
    served = ServingModel.load(record, bundle)
    assert served.mixing is not None
    assert same(served.mixing, two.mixing(tip))
    other = ServingModel.load(record, bundle, sources=("own",)).mixing
    assert other is not None
    assert other.sources == ("own", NETWORK)


def test_a_refused_window_keeps_the_parents(two: Both) -> None:
    tip = two.learn(chain(100, 1))

    def fails(*args: Any, **named: Any) -> Any:
        raise RuntimeError("no")

    assert two.learn(chain(100, 2), learn=fails) == tip
    third = two.learn(chain(100, 3))
    said = two.world.stores.registry.version(third).metrics["mixing"]
    assert 0 < said["lessons"] <= 60, "those of the refused window teach nobody"


def test_of_other_sources_what_is_known_stays_and_none_teach_nothing(settings: Settings) -> None:
    with both(settings) as two:
        tip = two.learn(chain(100, 1))
        known = two.mixing(tip)
        questions = two.mixing(tip).experts.questions
    few = settings.serving.model_copy(update={"sources": ("rules", "own")})
    with both(settings.model_copy(update={"serving": few})) as two:
        two.keeper.forget()
        with capture_logs() as lines:
            tip = two.learn(chain(100, 2))
        assert two.mixing(tip).sources == ("rules", "own", NETWORK)
        assert two.mixing(tip).experts.questions > questions > 0
        said = [line for line in lines if line["event"].startswith("the mixing hears other")]
        assert [line["new"] for line in said] == [[]]
        assert "walk" in said[0]["gone"]
        assert two.world.stores.registry.version(tip).metrics["mixing"]["lessons"] > 20
    none = settings.serving.model_copy(update={"sources": ()})
    with both(settings.model_copy(update={"serving": none})) as two:
        tip = two.learn(chain(100, 3))
        assert "mixing" not in two.world.stores.registry.version(tip).metrics
    assert known.sources == HEARD


def test_what_cannot_be_read_or_learned_leaves_the_weights_alone(two: Both) -> None:
    tip = two.learn(chain(100, 1))
    parent, tutor = two.world.state(tip), Tutor(tuple(SOURCES))
    told = two.world.stores.lessons.between(START, two.world.stores.log.last(), 100)
    broken = [(told[0][0], b"junk"), *told[1:]]
    _, said = tutor.taught(parent, parent, broken, 1)
    assert said["mixing"]["lessons"] == len(told) - 1
    assert parent.mixing is not None
    mixer = replace(parent.mixing.mixer, weights=torch.full((3,), torch.nan))
    odd = replace(parent, mixing=replace(parent.mixing, mixer=mixer))
    state, said = tutor.taught(odd, odd, told, 1)
    assert "error" in said["mixing"]
    assert state.mixing is odd.mixing


def test_a_mixer_that_does_worse_is_not_taken() -> None:
    """Those that judge say what the others deny."""
    parent = LearningState.initial(LearningConfig())
    one, other = (place_of_rank(HEARD, name) for name in ("rules", "own"))
    lessons = []
    for at in range(200):
        features = np.zeros((3, len(names(HEARD))), dtype=np.float16)
        features[0, one], features[1, other] = 1.0, 0.98
        target = 0 if at % JUDGED == JUDGED - 1 else 1
        lessons.append(Recorded(HEARD, "click", (), ("a", "b", "c"), features, target))
    told = [(Position(at + 1, 0), pack(lesson)) for at, lesson in enumerate(lessons)]
    state, said = Tutor(tuple(SOURCES)).taught(parent, parent, told, 1)
    assert not said["mixing"]["kept"]
    assert said["mixing"]["after"] < said["mixing"]["before"] == 1.0
    assert state.mixing is not None
    initial = Mixing.initial(HEARD, parent.config.seed)
    assert torch.equal(state.mixing.mixer.weights, initial.mixer.weights)
    assert state.mixing.experts.questions == 200, "the experts have heard it all the same"


def test_a_mixer_that_is_no_number_is_not_taken() -> None:
    features = np.zeros((2, len(names(HEARD))), dtype=np.float32)
    features[0, -1] = np.inf
    mixing, report = Mixing.initial(HEARD).after([Lesson(features, np.array([0]))], seed=1)
    assert not report.kept
    assert bool(torch.isfinite(mixing.mixer.weights).all())
