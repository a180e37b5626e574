"""Keeps a replica's features of catalogue items, and the vectors that they foretell.

Text comes in with a catalogue write and goes out as a sparse row; no text is kept. For every
version that is taken over, a tower is fitted from rows to the version's item vectors: items with
few events are then ranked by what it says of them, and so are those that the version has no row
for. A write is foretold before it is answered.

Threads: writers and the poll call `apply`, the watcher calls `prepare`, requests read. All state is
immutable and replaced in one assignment, under a lock that readers do not take.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from models.content.features import Row, Vectoriser, stacked
from models.content.neighbours import ContentIndex
from models.content.tower import Tower, foretold
from models.vocabulary import Vocabulary
from service.domain.catalogue import Item
from service.logs import get_logger
from service.sections import ContentSettings
from service.serving.content_newcomers import NOBODY, Newcomers
from service.serving.model import ServingModel
from service.telemetry import Metrics
from service.vectoriser import read_items

_REST = 10.0
"""A fit is followed by so many times its duration without one, unless a version is taken over."""
_VERSIONS = 2
"""The one being served, and the one that is about to be."""

log = get_logger("content")


@dataclass(frozen=True, slots=True)
class _Fitted:
    """What is known of the items of one version."""

    items: Vocabulary
    tower: Tower | None
    """None where text says nothing about taste, or there is none."""
    newcomers: Newcomers = NOBODY


class ContentFeed:
    """Features of items by content, and the newcomers of a version.

    Args:
        settings: bounds, and from how many events on an item speaks for itself.
        vectoriser: what makes rows of text.
    """

    def __init__(self, settings: ContentSettings, metrics: Metrics, vectoriser: Vectoriser) -> None:
        self._settings = settings
        self._metrics = metrics
        self._vectoriser = vectoriser
        self._lock = threading.Lock()
        self._index = ContentIndex.empty(vectoriser.width, settings.max_items)
        self._fitted: tuple[_Fitted, ...] = ()
        self._stale = False
        self._fit_after = float("-inf")

    @property
    def index(self) -> ContentIndex:
        """Features as they are now; take it once per request."""
        return self._index

    @property
    def due(self) -> bool:
        """Whether what is known of the served items has changed enough for another fit."""
        return self._stale and time.monotonic() >= self._fit_after

    def newcomers(self, model: ServingModel) -> Newcomers:
        """The items that `model` has no row for and that their text foretells."""
        for fitted in self._fitted:
            if fitted.items is model.items:
                return fitted.newcomers
        return NOBODY

    def apply(self, items: Sequence[Item]) -> None:
        """Take over writes in the order of their revisions, tombstones among them.

        What goes wrong here is logged and costs no write.
        """
        if not self._settings.max_items or not items:
            return
        try:
            given = read_items(self._vectoriser, items)
            with self._lock:
                self._index = self._index.with_rows(given)
                self._fitted = tuple(self._shown(fitted, given) for fitted in self._fitted)
                learned = [fitted.items for fitted in self._fitted]
                self._stale |= any(item_id in known for known in learned for item_id in given)
                self._metrics.content_items.set(len(self._index))
        except Exception:  # whatever a text or a model of somebody else's does
            log.exception("content of items is left out", items=len(items))

    def prepare(self, model: ServingModel) -> ServingModel:
        """Fit the tower to a version that is about to be served, or to what has changed since.

        Returns:
            The version, items with few events ranked by what their text foretells; the version as
            it is where there is nothing to read, or something went wrong.
        """
        if model.net is None or not len(self._index):
            with self._lock:
                self._keep(_Fitted(model.items, None))
            return model
        started = time.monotonic()
        self._stale = False
        try:
            return self._fit(model)
        except Exception:  # a version must be served whatever its items say of themselves
            log.exception("the content tower cannot be fitted", version=model.version)
            return model
        finally:
            ended = time.monotonic()
            self._metrics.content_fit_seconds.observe(ended - started)
            self._fit_after = ended + _REST * (ended - started)

    def _fit(self, model: ServingModel) -> ServingModel:
        few = self._settings.few_events
        vectors, events = model.learned_vectors(), model.events.numpy()
        rows = self._index.rows(model.items.ids)
        normalize = model.net is not None and model.net.normalize
        tower = Tower.fit(rows, vectors, events, normalize=normalize, few=few)
        with self._lock:
            fitted = _Fitted(model.items, tower)
            known = model.items.rows(self._index.items.ids)
            new = [self._index.items.id(place) for place in np.flatnonzero(known < 0).tolist()]
            new = new[-self._settings.max_new :]
            given = {item_id: self._index.row(item_id) for item_id in new}
            self._keep(self._shown(fitted, given))
        self._metrics.content_r2.set(0.0 if tower is None else tower.quality.r2)
        if tower is None:
            return model
        log.info(
            "content tower",
            version=model.version,
            items=tower.quality.items,
            r2=round(tower.quality.r2, 4),
            recall=round(tower.quality.recall, 4),
        )
        return model.ranked_by(foretold(tower, rows, vectors, events, few))

    def _keep(self, fitted: _Fitted) -> None:
        others = [one for one in self._fitted if one.items is not fitted.items]
        self._fitted = (*others, fitted)[-_VERSIONS:]

    def _shown(self, fitted: _Fitted, given: Mapping[str, Row]) -> _Fitted:
        """The same with these items' rows, as far as the version does not know the items."""
        if fitted.tower is None or not self._settings.max_new:
            return fitted
        there = self._index.items
        ids = [item_id for item_id in given if item_id not in fitted.items and item_id in there]
        rows = stacked([given[item_id] for item_id in ids], self._vectoriser.width)
        read = fitted.tower.reads(rows)
        newcomers = fitted.newcomers.with_items(
            frozenset(given),
            [item_id for item_id, reads in zip(ids, read, strict=True) if reads],
            torch.from_numpy(fitted.tower.predict(rows[read])),
            self._settings.max_new,
        )
        return replace(fitted, newcomers=newcomers)
