"""Exploration: a share of an answer's places for items that nobody knows well yet.

Belongs to the ranking thread. What is explored is proposed here and goes through the rules like all
else; see `service.serving.filling` for where it stands in an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice, zip_longest

import numpy as np
from torch import Tensor

from models.ranking.uncertainty import sampled
from service.domain.recommendations import Query
from service.serving.catalogue import CatalogueView, Dated
from service.serving.filling import NOTHING_EXPLORED, Explored, Scene, newest
from service.serving.retrieval import Found, Want
from service.serving.rules import Eligibility, Scored
from service.settings import Settings

THOMPSON, NEW = "thompson", "new"

_DRAWN = 200
"""The network's best, of which scores are drawn."""
_NEW = 200
"""New items to choose among, the latest …"""
_LOOKED_AT = 2_000
"""… of so many of the latest."""


class Explorer:
    """Proposes what is to be explored.

    Two ways, by turns where both are asked for:

    * Thompson sampling: items that a draw of the item vectors lifts above the last of the `limit`
      that were learned to be the best. The surer the model, the fewer there are.
    * New items, with fewer than `few_events` events: of the latest, by chances that fall with the
      events, 1 / (events + 1), so that what nobody takes does not stand in every answer.

    Args:
        share: of an answer's places, at most.
        methods: of `THOMPSON` and `NEW`.
        few_events: from so many positive events on, an item is no longer new.
        generator: of every draw.
    """

    def __init__(
        self,
        share: float,
        methods: Sequence[str] = (THOMPSON, NEW),
        few_events: float = 5.0,
        generator: np.random.Generator | None = None,
    ) -> None:
        self._share = share
        self._methods = frozenset(methods)
        self._few_events = few_events
        self._generator = generator or np.random.default_rng()
        self._looked: tuple[Tensor, CatalogueView, Sequence[Dated]] | None = None
        self._latest: list[tuple[str, float]] = []

    @classmethod
    def of(cls, settings: Settings) -> Explorer | None:
        """As the settings have it; None where nothing is explored."""
        serving = settings.serving
        if not serving.explore_share:
            return None
        both = serving.explore_method == "both"
        methods = (THOMPSON, NEW) if both else (serving.explore_method,)
        return cls(serving.explore_share, methods, settings.content.few_events)

    def places(self, limit: int) -> int:
        """Places of an answer that explored items may have."""
        return int(self._share * limit + 1e-9)

    def depth(self, want: Want) -> int:
        """Candidates of the network that are needed to explore for `want`; 0: none."""
        draws = THOMPSON in self._methods and want.like is None and self.places(want.limit)
        return _DRAWN if draws else 0

    def drawn(self, want: Want, found: Found) -> list[str]:
        """Items that a draw lifts above the last of the network's best `limit`, the best of the
        draw first."""
        if not self.depth(want) or found.query is None or len(found.ranked) <= want.limit:
            return []
        ranked = found.ranked[:_DRAWN]
        ids = [item_id for item_id, _ in ranked]
        scores = np.asarray([score for _, score in ranked], dtype=np.float64)
        deviations = want.model.uncertainty.of_rows(want.model.items.rows(ids))
        length = float(found.query.norm())
        drawn = sampled(scores, deviations, length, self._generator)
        lifted = want.limit + np.flatnonzero(drawn[want.limit :] > scores[want.limit - 1])
        return [ids[at] for at in lifted[np.argsort(-drawn[lifted], kind="stable")].tolist()]

    def explored(
        self,
        scene: Scene,
        query: Query,
        eligible: Eligibility,
        ranked: Sequence[Scored],
        drawn: Sequence[str],
    ) -> Explored:
        """What one answer may explore.

        Args:
            ranked: the first of these are in the answer anyway.
            drawn: as `drawn` gave them; none where the network has nothing to say.
        """
        places = self.places(query.limit)
        if not places:
            return NOTHING_EXPLORED
        new = self._new(scene, eligible) if NEW in self._methods else []
        anyway = {item_id for item_id, _ in ranked[: query.limit]}
        turns = zip_longest(((one, THOMPSON) for one in drawn), ((one, NEW) for one in new))
        by: dict[str, str] = {}
        for item_id, method in (turn for turn in chain.from_iterable(turns) if turn):
            if item_id not in anyway:
                by.setdefault(item_id, method)
        return Explored(places, [(one, 1.0 / at) for at, one in enumerate(by, start=1)], by)

    def _new(self, scene: Scene, eligible: Eligibility) -> list[str]:
        """New items in the order of a draw, whose chances are 1 / (events + 1).

        Source: Efraimidis and Spirakis, 2006, weighted sampling without replacement: in the order
        of ln(u) / w, from above.
        """
        latest = self._found(scene, eligible)
        keys = [
            np.log1p(-point) * (events + 1.0)
            for point, (_, events) in zip(self._generator.random(len(latest)), latest, strict=True)
        ]
        return [latest[at][0] for at in np.argsort(keys)[::-1].tolist()]

    def _found(self, scene: Scene, eligible: Eligibility) -> list[tuple[str, float]]:
        """New items and their events; looked for once per model, catalogue and list, unless some
        condition is narrow."""
        if eligible.narrowest() is not None:
            return self._look(scene, eligible)
        now = (scene.model.events, scene.view, scene.lists.first_seen)
        if self._looked is None or any(a is not b for a, b in zip(self._looked, now, strict=True)):
            self._latest = self._look(scene, eligible)
            self._looked = now
        return self._latest

    def _look(self, scene: Scene, eligible: Eligibility) -> list[tuple[str, float]]:
        ids = [item_id for _, item_id in islice(newest(scene, eligible), _LOOKED_AT)]
        rows = scene.model.items.rows(ids)
        events = np.zeros(len(ids))
        known = rows >= 0
        events[known] = scene.model.events.numpy()[rows[known]]
        few = np.flatnonzero(events < self._few_events)[:_NEW]
        return [(ids[at], float(events[at])) for at in few.tolist()]
