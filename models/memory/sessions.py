"""The latest sessions (or users), and where each item happened in them.

The rings are the truth. `found` is an index over them, made as rows are written: what it leads to
must be looked at, and made anew from the rows it may lead to others, as recent.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

NONE = -1


class Sessions:
    """Rings of the latest events of the latest sessions; the longest silent gives its slot up.

    Args:
        capacity: sessions kept.
        length: latest events kept of each.
        per_item: latest sessions in which an item is found again.
    """

    def __init__(self, capacity: int, length: int, per_item: int) -> None:
        self.capacity, self.length, self.per_item = capacity, length, per_item
        self.slots: OrderedDict[int, int] = OrderedDict()
        """Session key → slot, longest silent first."""
        self.items = np.full((capacity, length), NONE, dtype=np.int32)
        """[C, L], oldest first, filled from the right."""
        self.times: Floats = np.zeros((capacity, length))
        self.sizes = np.zeros(capacity, dtype=np.int32)
        self.keys = np.zeros(capacity, dtype=np.uint64)
        self.touched: Ints = np.zeros(capacity, dtype=np.int64)
        """[C] number of the latest event, counted over all sessions from 1; 0 is a free slot."""
        self.found = np.full((0, per_item), NONE, dtype=np.int32)
        """[N, P]: slots in which an item happened, each once; what they hold now must be looked at.
        """
        self.written = np.zeros(0, dtype=np.int64)
        """[N] how often a slot was written into the item's row of `found`."""

    def grow(self, num_items: int) -> None:
        """Have room for the places of at least `num_items` items."""
        size = len(self.written)
        if num_items <= size:
            return
        room = max(num_items, 2 * size, 1_024)
        found = self.found
        self.found = np.full((room, self.per_item), NONE, dtype=np.int32)
        self.found[:size] = found
        self.written = np.concatenate((self.written, np.zeros(room - size, dtype=np.int64)))

    def slot_of(self, key: int) -> int:
        """The slot of a session, its own or one that the longest silent gives up; it is then the
        last to give it up, and holds nothing that another left."""
        slot = self.slots.get(key)
        if slot is not None:
            self.slots.move_to_end(key)
            return slot
        if len(self.slots) < self.capacity:
            slot = len(self.slots)
        else:
            _, slot = self.slots.popitem(last=False)
        self._begin(slot, key)
        return slot

    def put(self, slot: int, items: Ints, times: Floats, number: int) -> None:
        """Append events, oldest first, to a session.

        Args:
            number: of the latest of them, above that of any event before.
        """
        items, times = items[-self.length :], times[-self.length :]
        n = len(items)
        row, line = self.items[slot], self.times[slot]
        new = set(items.tolist()).difference(row.tolist())
        row[:-n], row[-n:] = row[n:].copy(), items
        line[:-n], line[-n:] = line[n:].copy(), times
        self.sizes[slot] = min(self.sizes[slot] + n, self.length)
        self._touch(slot, number)
        self._index(slot, new)

    def events(self, slot: int) -> tuple[Ints, Floats]:
        """Items and times [n] of a slot's events, oldest first."""
        first = self.length - int(self.sizes[slot])
        return self.items[slot, first:].astype(np.int64), self.times[slot, first:]

    def place(self, slot: int, key: int, number: int, items: Ints, times: Floats) -> None:
        """Write a slot's whole row; of more events than fit, the latest.

        Whoever writes many goes from the longest silent to the latest, by `number`.
        """
        before = set[int]()
        if self.touched[slot] and self.keys[slot] == key:
            before = set(self.items[slot].tolist())
        else:
            self._leave(slot)
            self._begin(slot, key)
        items, times = items[-self.length :], times[-self.length :]
        first = self.length - len(items)
        self.items[slot, :first], self.times[slot, :first] = NONE, 0.0
        self.items[slot, first:], self.times[slot, first:] = items, times
        self.sizes[slot] = len(items)
        self._touch(slot, number)
        self._index(slot, set(items.tolist()) - before)

    def _begin(self, slot: int, key: int) -> None:
        self.slots[key] = slot
        self.items[slot], self.times[slot], self.sizes[slot] = NONE, 0.0, 0
        self.keys[slot] = key

    def _leave(self, slot: int) -> None:
        """Whoever was here is here no more; it may have another slot by now."""
        key = int(self.keys[slot])
        if self.touched[slot] and self.slots.get(key) == slot:
            del self.slots[key]

    def _touch(self, slot: int, number: int) -> None:
        self.touched[slot] = number
        self.slots.move_to_end(int(self.keys[slot]))

    def _index(self, slot: int, new: set[int]) -> None:
        for item in sorted(new):
            places, latest = self.found[item], int(self.written[item] % self.per_item)
            if slot in places:  # it was given up, or the item had left it and has come back
                self._move_up(places, latest, slot)
            else:
                places[latest] = slot
                self.written[item] += 1

    def _move_up(self, places: npt.NDArray[np.int32], latest: int, slot: int) -> None:
        """Make a slot the last to be written over, in a ring whose next place is `latest`."""
        others = np.roll(places, -latest)
        others = others[others != slot]
        places[:] = np.roll(np.append(others, np.int32(slot)), latest)
