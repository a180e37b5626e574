"""The learner's turn: look at everything once, do the one next thing, say what is.

Everything it knows can be read again from the stores, so a turn that fails leaves nothing to mend:
the next one begins with what the stores say. Recovery after a crash is the same turn.
"""

from __future__ import annotations

import threading

import structlog

from models.continual.window import learn_window
from service.domain.versions import Head, Origin, WindowRecord
from service.domain.weights import EventWeights
from service.errors import (
    CorruptCheckpoint,
    CorruptEntry,
    LogIncarnationMismatch,
    LostDraw,
    SettingsError,
    StaleHead,
)
from service.learner.aftermath import Aftermath
from service.learner.archiving import Archiving
from service.learner.attempts import Attempts
from service.learner.bulletin import Bulletin
from service.learner.catchup import CatchUp
from service.learner.champion import champion
from service.learner.child import Run
from service.learner.committing import Committed, Committing, Work
from service.learner.device import device_of
from service.learner.drift import Drift
from service.learner.fence import Fence
from service.learner.incremental import Incremental
from service.learner.joining import Joining
from service.learner.learning import Abandoned, Learning, LearnWindow, Lesson, given_up
from service.learner.opening import Opening
from service.learner.ownership import check_log
from service.learner.rebuilding import Rebuilding
from service.learner.retrain import Retrain
from service.learner.signals import Signals
from service.learner.starting import Starting
from service.learner.states import EncoderChanged, States
from service.learner.status import State, Status
from service.learner.steps import Reached, go_on
from service.learner.stores import Stores
from service.learner.tutor import Tutor, taught_until
from service.learner.unlearned import Unlearned
from service.learner.watch import Watch
from service.settings import Settings
from service.storage.online import OnlineStore
from service.storage.receipts import Receipts

log = structlog.get_logger()


class Learner:
    """Holds the steps together.

    Args:
        stores: where everything is kept.
        settings: the process's settings.
        status: what it says about itself.
        stop: set when the process is to end; training is abandoned within a step.
        reached: called at each named step; fault tests interrupt there.
        learn: the update itself; fault tests put a poisoned one in its place.

    Raises:
        Unavailable: the database does not answer.
    """

    def __init__(
        self,
        stores: Stores,
        settings: Settings,
        status: Status,
        *,
        stop: threading.Event,
        reached: Reached = go_on,
        learn: LearnWindow = learn_window,
    ) -> None:
        self._stores, self._status, self._stop = stores, status, stop
        config, device = settings.learning, device_of(settings)
        weights = EventWeights(settings.event_types, settings.positive_from)
        secret = stores.registry.secret()
        signals = Signals(weights, secret)
        self._states = States(stores.registry, stores.checkpoints, config)
        self._starting = Starting(settings.learner.start_from, config)
        self._unlearned = Unlearned(stores.log, stores.archive)
        self._watch = Watch(self._unlearned, settings.window)
        self._drift = Drift(stores.registry, settings.drift, config.top_k)
        self._fence = Fence(stores.registry, status.is_another_alive)
        self._archiving = Archiving(self._unlearned, stores.archive, settings.log)
        lessons = settings.memory.lessons if settings.serving.sources else 0
        joining = Joining(
            stores.archive,
            OnlineStore(stores.client, stores.keys, settings.online),
            Receipts(secret),
            weights,
            settings.online,
        )
        self._opening = Opening(stores, self._archiving, signals, config, lessons, joining, reached)
        tutor = Tutor(settings.serving.sources)
        self._learning = Learning(self._states, device, learn, self._drift, tutor, reached)
        self._committing = Committing(stores, config, reached)
        rebuilding = Rebuilding(stores, signals, config, self._go_on)
        self._aftermath = Aftermath(stores, settings, rebuilding, joining, reached)
        self._incremental = Incremental(stores.jobs, stores.registry, self._unlearned)
        self._retrain = Retrain(stores, settings, self._unlearned, device)
        self._catch_up = CatchUp(stores, self._states, self._opening, self._learning, config)
        self._bulletin = Bulletin(
            stores, self._unlearned, self._watch, self._drift, self._archiving, status
        )
        self._attempts = Attempts(stores.registry, settings.learner.max_attempts)
        self._generation: int | None = None

    def turn(self) -> bool:
        """One turn.

        Returns:
            Whether anything was done; when not, the caller may pause.

        Raises:
            Abandoned: `stop` was set in the middle of a window.
            Unavailable: a store does not answer; so do errors of redis and the file system.
        """
        head = self._fence.head()
        if head is None:
            self._status.turn(State.STANDBY, "another learner holds the epoch")
            return False
        try:
            check_log(self._stores.registry, self._stores.log, head)
            self._follow(head)
            return self._do_next(head)
        except (LogIncarnationMismatch, CorruptCheckpoint, CorruptEntry, SettingsError) as error:
            self._status.turn(State.HALTED, str(error))
            self._incremental.fail(str(error))
            if isinstance(error, LogIncarnationMismatch):
                self.forget()  # what lay beside that log, the replay buffer, may have gone with it
            return False
        except StaleHead as error:
            log.warning("the head moved under a window; it is not committed", error=str(error))
            self.forget()
            return True

    def forget(self) -> None:
        """Drop what is in memory; the stores know better."""
        self._generation = None

    def close(self) -> None:
        """End what runs beside, the child of a full retrain, and leave the window in work alive.

        Raises:
            Unavailable: the database does not answer; the attempt counts.
        """
        self._retrain.close()
        self._attempts.leave()

    def _follow(self, head: Head) -> None:
        """After a start, a failure or a rollback: begin again from what the stores say."""
        if self._generation == head.generation:
            return
        self._states.let_go()
        self._archiving.remember()
        self._aftermath.catch_up(head)
        self._retrain.fail_left()
        self._generation = head.generation

    def _do_next(self, head: Head) -> bool:
        first = self._starting.lesson(head)
        if first is not None:
            self._commit(Work(head, None, Origin.TRANSFER), first)
            return True
        window = self._stores.registry.window_in_work(head.tip)
        try:
            self._states.to_learn_from(head.tip)
        except EncoderChanged as error:
            return self._wait_for_full(head, str(error))
        if window is not None:
            self._learn(head, window)
            return True
        run = self._retrain.look(head)
        return self._finish_full(head, run) if run is not None else self._learn_next(head)

    def _learn_next(self, head: Head) -> bool:
        asked = self._incremental.look(head), self._retrain.wants()
        until = max((position for position in asked if position is not None), default=None)
        reaction = self._drift.reaction(head)
        cut = self._watch.look(head.position, self._log_ms(), until, reaction.interval)
        self._bulletin.waiting(head, self._incremental.job_id)
        if cut is None:
            return False
        if cut.events:
            taught = taught_until(self._states.as_it_was(head.tip))
            self._learn(head, self._opening.open(head, cut, reaction.rate, taught))
        else:  # what could not be decoded alone: no window comes to take it along
            passed = self._stores.registry.pass_by(head, cut.end)
            self._bulletin.waiting(passed, self._incremental.job_id)
        return True

    def _learn(self, head: Head, window: WindowRecord) -> None:
        self._status.turn(State.LEARNING)
        deaths = self._attempts.begin(head, window)
        if self._attempts.are_too_many(deaths):
            lesson = given_up(window, deaths)
        else:
            try:
                material = self._opening.material(window, with_lessons=True)
            except LostDraw as error:
                log.warning("a window is cut anew", window=window.window_id, error=str(error))
                self._stores.registry.withdraw(head, window)
                self._attempts.end()
                return
            best = champion(self._stores, head)
            lesson = self._learning.lesson(head, window, material, best, self._go_on)
        done = self._commit(Work(head, window, Origin.INCREMENTAL), lesson)
        self._attempts.end()
        self._incremental.learned(lesson, done)
        self._status.learned(lesson, done)
        self._bulletin.waiting(done.head, self._incremental.job_id)

    def _finish_full(self, head: Head, run: Run) -> bool:
        self._status.turn(State.LEARNING, "a full retrain is brought up to date")
        best = champion(self._stores, head)
        try:
            lesson = self._catch_up.lesson(run, head, best, self._go_on)
        except (CorruptCheckpoint, CorruptEntry, RuntimeError, ValueError) as error:
            log.exception("a full retrain cannot be brought up to date", job_id=run.job.job_id)
            self._retrain.fail(f"it cannot be brought up to date: {error}"[:500])
            return True
        done = self._commit(Work(head, None, Origin.FULL), lesson)
        self._retrain.done(lesson, done.version)
        self._status.learned(lesson, done)
        return True

    def _commit(self, work: Work, lesson: Lesson) -> Committed:
        done = self._committing.commit(work, lesson)
        if lesson.accepted and lesson.state is not None:
            self._states.hold(done.version, lesson.state)
            self._generation = done.head.generation
        best = champion(self._stores, done.head)
        self._states.let_go(but={done.head.tip, done.head.active, best or 0})
        self._aftermath.follow(done, keep_files=self._retrain.is_running)
        return done

    def _wait_for_full(self, head: Head, why: str) -> bool:
        """The old version serves on; a full retrain under the new settings takes over from it."""
        waits = f"{why}: learning goes on after a full retrain"
        came_to_nothing = self._retrain.queue(head, f"the settings have changed: {why}")
        if came_to_nothing is not None:
            waits = f"{waits}, and the last one came to nothing ({came_to_nothing})"
            self._incremental.fail(waits)
        self._status.turn(State.HALTED, waits)
        run = self._retrain.look(head, at_once=True)
        return False if run is None else self._finish_full(head, run)

    def _go_on(self, share: float) -> None:
        """Called at each training step."""
        self._status.say(progress=round(share, 3))
        if self._stop.is_set():
            raise Abandoned

    def _log_ms(self) -> int:
        """The log's own clock: positions are made by it."""
        seconds, microseconds = self._stores.client.time()
        return int(seconds) * 1_000 + int(microseconds) // 1_000
