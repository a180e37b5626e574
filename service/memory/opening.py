"""A stored memory put together again, under the bounds that the settings have by now."""

from __future__ import annotations

from models.memory.config import MemoryConfig
from models.memory.memory import FastMemory
from models.memory.packing import put_items, put_sessions
from models.vocabulary import Vocabulary
from service.storage.memory import MemoryState, MemoryStore


def rows_of(
    store: MemoryStore, state: MemoryState, config: MemoryConfig
) -> tuple[FastMemory, Vocabulary, bool]:
    """The memory, its items, and whether it stands in the store as it stands here.

    It does not where there are more items or sessions than the settings allow by now; the former
    are all here.

    Raises:
        ValueError: some bytes are no rows.
    """
    memory, items = FastMemory(config), Vocabulary()
    sessions: dict[int, bytes] = {}
    sizes = store.sizes(state.generation)
    for look in store.chunks(state.generation, *sizes):
        items.grow(look.ids)
        memory.grow(len(items))
        put_items(memory, look.items)
        sessions.update(look.sessions)
    put_sessions(memory, sessions)
    fits = len(sessions) <= config.sessions and not memory.is_full
    return memory, items, fits
