"""The names of everything in Redis, in one place.

Every key carries its shard's hash tag (`{s0}`), so that all keys of a shard live in one slot of a
Redis Cluster and more shards can be added without renaming anything.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one shard under one namespace.

    Args:
        namespace: prefix of every key, so that several services may share a server.
        shard: number of the shard; users are spread over shards, one is all there is today.
    """

    namespace: str
    shard: int = 0

    @property
    def prefix(self) -> str:
        return f"{self.namespace}:{{s{self.shard}}}"

    @property
    def log(self) -> str:
        """Stream: one entry per accepted request."""
        return f"{self.prefix}:log"

    @property
    def log_total(self) -> str:
        """Counter: events ever appended."""
        return f"{self.prefix}:log:total"

    @property
    def incarnation(self) -> str:
        """String: which log this is; a wiped server has another one."""
        return f"{self.prefix}:log:incarnation"

    @property
    def owner(self) -> str:
        """String: the mark of the registry that learns from this log."""
        return f"{self.prefix}:log:owner"

    @property
    def dead_letters(self) -> str:
        """Stream: entries that cannot be decoded, with the reason."""
        return f"{self.prefix}:log:dead"

    def import_record(self, digest: str) -> str:
        """Hash: how far the file of this digest has been imported; it lives for a set time."""
        return f"{self.prefix}:import:{digest}"

    def history(self, user_id: str) -> str:
        """Sorted set: a user's latest interactions by time."""
        return f"{self.prefix}:history:{user_id}"

    def popularity(self, hour: int) -> str:
        """Sorted set: item → weight of the positive events of an hour since the epoch."""
        return f"{self.prefix}:popularity:{hour}"

    @property
    def first_seen(self) -> str:
        """Sorted set, bounded: item → time of the first event that named it."""
        return f"{self.prefix}:first-seen"

    @property
    def last_seen(self) -> str:
        """Sorted set: the same items → time of the last event, by which they are forgotten."""
        return f"{self.prefix}:last-seen"

    @property
    def replay_order(self) -> str:
        """Sorted set, all scores 0: sample keys in hexadecimal, so in the order of the keys."""
        return f"{self.prefix}:replay:order"

    @property
    def replay_samples(self) -> str:
        """Hash: sample key → packed sample."""
        return f"{self.prefix}:replay:samples"

    @property
    def replay_windows(self) -> str:
        """Sorted set: sample key → window that brought it."""
        return f"{self.prefix}:replay:windows"

    @property
    def replay_bounds(self) -> str:
        """Hash: bytes kept, the largest sample offered, and the key from which on none is taken."""
        return f"{self.prefix}:replay:bounds"

    @property
    def replay_version(self) -> str:
        """String: the version whose lineage the replay buffer holds."""
        return f"{self.prefix}:replay:version"

    @property
    def online_answers(self) -> str:
        """Hash: an answer's name → its version, items and their sources."""
        return f"{self.prefix}:online:answers"

    @property
    def online_order(self) -> str:
        """Sorted set: the names of the answers kept, by when they were given."""
        return f"{self.prefix}:online:order"

    @property
    def online_marks(self) -> str:
        """Hash: an answer's name → what has been heard of each of its items."""
        return f"{self.prefix}:online:marks"

    @property
    def online_position(self) -> str:
        """String: how far the log is joined with the answers."""
        return f"{self.prefix}:online:position"

    @property
    def online_total(self) -> str:
        """Hash: counts over all versions, and events joined and not, by reason."""
        return f"{self.prefix}:online:total"

    @property
    def online_versions(self) -> str:
        """Sorted set: versions that have counts of their own, by their last answer."""
        return f"{self.prefix}:online:versions"

    def online_version(self, version: int) -> str:
        """Hash: counts of one version's answers."""
        return f"{self.prefix}:online:version:{version}"

    def online_items(self, version: int, source: str) -> str:
        """HyperLogLog: the items that a version's answers took from a source."""
        return f"{self.prefix}:online:items:{version}:{source}"

    @property
    def memory(self) -> str:
        """Hash: whose the fast memory is, how far it has come, and which rows are meant."""
        return f"{self.prefix}:memory"

    def memory_items(self, generation: int) -> str:
        """Hash: row of an item → what the fast memory holds of it."""
        return f"{self.prefix}:memory:{generation}:items"

    def memory_sessions(self, generation: int) -> str:
        """Hash: slot of a session → its latest events."""
        return f"{self.prefix}:memory:{generation}:sessions"

    def memory_ids(self, generation: int) -> str:
        """List: item ids in the order of their rows."""
        return f"{self.prefix}:memory:{generation}:ids"

    @property
    def memory_changes(self) -> str:
        """Stream, bounded: which rows each commit of the fast memory has written."""
        return f"{self.prefix}:memory:changes"

    @property
    def memory_lessons(self) -> str:
        """Stream, bounded: what was asked and what came, for the mixer to learn from."""
        return f"{self.prefix}:memory:lessons"

    @property
    def memory_keeper(self) -> str:
        """String with a time to live: what the process of the fast memory does."""
        return f"{self.prefix}:memory:keeper"

    @property
    def replicas(self) -> str:
        """Set: ids of replicas that have lately lived."""
        return f"{self.prefix}:replicas"

    def replica(self, replica_id: str) -> str:
        """String with a time to live: what a replica serves."""
        return f"{self.prefix}:replica:{replica_id}"

    @property
    def learner(self) -> str:
        """String with a time to live: what the learner does."""
        return f"{self.prefix}:learner"

    @property
    def head_channel(self) -> str:
        """Channel: a hint that the registry's head has moved; the head itself is the truth."""
        return f"{self.prefix}:head"
