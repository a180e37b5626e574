"""What the learner says between windows: how far it is, what waits, and how much it remembers."""

from __future__ import annotations

from service.domain.versions import Head
from service.learner.archiving import Archiving
from service.learner.drift import Drift
from service.learner.status import State, Status
from service.learner.stores import Stores
from service.learner.unlearned import Unlearned
from service.learner.watch import Watch
from service.storage.clock import now_ms


class Bulletin:
    """Gathers the numbers of `Status` that are read from the stores."""

    def __init__(
        self,
        stores: Stores,
        unlearned: Unlearned,
        watch: Watch,
        drift: Drift,
        archiving: Archiving,
        status: Status,
    ) -> None:
        self._stores = stores
        self._unlearned = unlearned
        self._watch = watch
        self._drift = drift
        self._archiving = archiving
        self._status = status

    def waiting(self, head: Head, job_id: str | None) -> None:
        """Nothing is in work; `head` is where learning stands."""
        repeats = self._archiving.repeats
        first = self._unlearned.cut(head.position, 1)
        interval = self._drift.reaction(head).interval
        self._status.turn(State.WAITING)
        self._status.say(
            epoch=head.epoch,
            version=head.tip,
            position=str(head.position),
            lag_events=self._unlearned.count(head.position),
            next_update_ms=(
                max(self._watch.due_ms(first, interval), now_ms())
                if first and first.events
                else None
            ),
            dead_letters=self._stores.log.dead_letters(),
            dedupe_ids=len(repeats),
            dedupe_from_ms=repeats.reach_ms,
            buffer=len(self._stores.buffer),
            drift=self._drift.said(head),
            job_id=job_id,
        )
