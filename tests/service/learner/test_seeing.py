"""What impressions say was seen of an answer is what its lesson is about, whenever they come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from models.continual.hearing import learn_mixing
from models.mixing.recorded import Recorded
from models.sources import SOURCES
from service.domain.interactions import Interaction, Position
from service.domain.online import Shown
from service.domain.recommendations import SESSION
from service.learner.names import draw_name
from service.learner.seeing import as_seen
from service.learner.steps import OPENED
from service.settings import Settings
from service.storage.clock import now_ms
from service.storage.lessons import OF_ANSWER, is_of_answer, unpack
from service.storage.online import Given, OnlineStore
from service.storage.receipts import Receipts
from tests.service.learner.test_mixing import Both, both, chain
from tests.service.learner.world import World, post, settle

SHOWN = tuple(f"i-{at}" for at in (9, 8, 7, 6, 5, 4))
TAKEN = "i-7"
GUESSED = SHOWN[:4]
"""Down to the one below what is taken."""


@pytest.fixture
def two(settings: Settings) -> Iterator[Both]:
    """All that happens before it is a window of its own."""
    with both(settings, lesson_share=1.0) as two:
        two.learn(chain(100, 1))
        yield two


def give(world: World, user: str = "u") -> str:
    """Give an answer and keep it; its id."""
    receipts = Receipts(world.stores.registry.secret())
    id_, receipt = receipts.issue(1, SESSION, now_ms(), user)
    shown = Shown(1, SHOWN, ("model",) * len(SHOWN))
    store = OnlineStore(world.stores.client, world.stores.keys, world.settings.online)
    store.keep([Given(receipt.nonce, now_ms(), shown, shown.counts(None))], {}, now_ms())
    return id_


def event(id_: str | None, item: str, kind: str = "impression", user: str = "u") -> Interaction:
    name = f"{id_}-{item}-{kind}"
    return Interaction(user, item, kind, now_ms(), name, recommendation_id=id_)


def seen(id_: str, *places: int) -> list[Interaction]:
    return [event(id_, SHOWN[at]) for at in places]


def window(two: Both, *batches: Sequence[Interaction], seed: int = 2) -> list[Recorded]:
    """Post batches, each remembered before the next one comes, and learn them with others as one
    window; the lessons of answers that are facts of it."""
    rest = chain(100 - sum(map(len, batches)), seed)
    for batch in (*batches, rest):
        post(two.world.settings, batch)
        two.remember()
    stores, found = two.world.stores, list[Recorded]()

    def look(step: str) -> None:
        if step == OPENED:
            opened = stores.registry.window_in_work(stores.registry.head().tip)
            assert opened is not None
            name = draw_name(opened.start, opened.parent)
            told = stores.archive.read_lessons(name, opened.lessons_digest)
            found.extend(unpack(data) for _, data in told if is_of_answer(data))

    settle(two.world.learner(reached=look))
    return found


def test_without_impressions_it_is_what_was_looked_at_as_far_as_one_can_guess(two: Both) -> None:
    (lesson,) = window(two, [event(give(two.world), TAKEN, "click")])
    assert (lesson.items, lesson.items[lesson.target]) == (GUESSED, TAKEN)


@pytest.mark.parametrize("when", ["windows before", "before", "with it", "behind it", "after"])
def test_it_is_exactly_what_impressions_say_was_seen(two: Both, when: str) -> None:
    """Here one above what was taken, and one far below; what was taken itself needs none. Told more
    than once, of what the answer did not show, or by another user, they change nothing."""
    id_ = give(two.world)
    told = [*seen(id_, 1, 5, 5), event(id_, "i-20"), event(id_, SHOWN[0], user="another")]
    told += [replace(told[0], event_id="once more"), event(None, SHOWN[0])]
    click = [event(id_, TAKEN, "click")]
    if when == "windows before":
        assert window(two, told) == []
        told = []
    batches = {
        "before": (told, click),
        "with it": (told[:2] + click + told[2:],),
        "behind it": (click + told,),
        "after": (click, told),
    }.get(when, (click,))
    (lesson,) = window(two, *batches, seed=3)
    assert lesson.items == (SHOWN[1], TAKEN, SHOWN[5])
    assert lesson.items[lesson.target] == TAKEN
    assert lesson.features.shape[0] == lesson.looked == 3


def test_what_is_told_when_the_window_is_over_comes_too_late(two: Both) -> None:
    id_ = give(two.world)
    (lesson,) = window(two, [event(id_, TAKEN, "click")])
    assert lesson.items == GUESSED
    assert window(two, seen(id_, 1, 5), seed=3) == [], "and makes no other"


def test_nothing_taken_or_nothing_seen_beside_is_no_lesson(two: Both) -> None:
    untouched, alone = give(two.world), give(two.world)
    batch = [*seen(untouched, 0, 1, 2), *seen(alone, 2), event(alone, TAKEN, "click")]
    assert window(two, batch) == []


def test_each_answer_is_cut_by_its_own_and_of_two_that_were_taken_each_knows_the_other(
    two: Both,
) -> None:
    one, other = give(two.world), give(two.world)
    batch = [event(one, TAKEN, "click"), event(other, TAKEN, "click"), *seen(other, 3, 2)]
    batch += [event(other, SHOWN[5], "cart")]
    first, second, third = window(two, batch)
    assert first.items == GUESSED
    assert second.items == third.items == (TAKEN, SHOWN[3], SHOWN[5])
    assert [one.items[one.target] for one in (second, third)] == [TAKEN, SHOWN[5]]


def test_a_lesson_that_cannot_be_read_is_left_to_whoever_reads_it(two: Both) -> None:
    """It stops no window."""
    lessons = [(Position(1, 0), bytes((OF_ANSWER,)) + b"junk"), (Position(2, 0), b"junk")]
    joining = two.world.learner()._opening._joining
    assert as_seen(lessons, joining, []) == lessons


def test_what_was_seen_far_below_is_learned_to_be_worth_less(two: Both) -> None:
    """Everybody takes the third; those who say so have passed over the last."""
    parent = two.world.state(two.world.stores.registry.head().tip)
    learned, of_both = [], list[Recorded]()
    for told in ((), (5,)):
        batch = list[Interaction]()
        for at in range(20):
            id_ = give(two.world, f"{told}-{at}")
            batch += [event(id_, TAKEN, "click", f"{told}-{at}")]
            batch += [event(id_, SHOWN[place], user=f"{told}-{at}") for place in told]
        of_both = window(two, batch, seed=2)
        learned.append(learn_mixing(parent, of_both, tuple(SOURCES), seed=0)[0].mixer)
    guessing, knowing = (mixer.scores(of_both[0].features) for mixer in learned)
    assert of_both[0].items == (TAKEN, SHOWN[5])
    assert knowing[0] - knowing[1] > guessing[0] - guessing[1] + 0.1
