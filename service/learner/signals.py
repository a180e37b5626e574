"""From an interaction, as the service knows it, to an event, as the models do."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass

from models.interactions import Event
from service.domain.interactions import SKIP, Interaction
from service.domain.weights import EventWeights
from service.storage.hashing import event_key, user_key


@dataclass(frozen=True, slots=True)
class Signals:
    """What interactions are worth, and by which keys the models know them.

    Args:
        weights: weight of each event type; 0 is no positive signal.
        secret: the registry's; it keys the hashes that decide over probes and replay.
    """

    weights: EventWeights
    secret: bytes

    def events(self, interactions: Iterable[Interaction]) -> list[Event]:
        """Events in the order given, which is the log's."""
        return [self._event(interaction) for interaction in interactions]

    def _event(self, interaction: Interaction) -> Event:
        """Ids that come again share one string: a full retrain holds every event at once."""
        return Event(
            user_id=sys.intern(interaction.user_id),
            item_id=sys.intern(interaction.item_id),
            type=sys.intern(interaction.type),
            weight=self.weights.weight(interaction.type, interaction.value),
            time_ms=interaction.time_ms,
            key=event_key(self.secret, interaction.user_id, interaction.event_id),
            user_key=user_key(self.secret, interaction.user_id),
            skip=interaction.type == SKIP,
        )
