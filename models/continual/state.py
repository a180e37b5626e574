"""All that a version needs to go on learning."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from models.adam import AdamState
from models.config import LearningConfig
from models.continual.bundle import Bundle, memory_from, memory_meta, memory_tensors
from models.continual.memory import Probes, StreamMemory
from models.continual.method import Method
from models.continual.methods import chosen_methods
from models.continual.optimizers import RowState
from models.continual.precision import vector_precision
from models.interactions import Histories
from models.mixing.bundle import any_mixing_from, mixing_meta, mixing_tensors
from models.mixing.mixing import Mixing
from models.nets import Recommender, encoder_of
from models.parameters import prefixed, stripped
from models.vocabulary import Vocabulary

FORMAT = 1
"""Number of the layout of exported states; a reader of N reads N−1."""


@dataclass(frozen=True, slots=True)
class LearningState:
    """A version's weights and everything that learning keeps beside them, on the CPU.

    A value: nobody writes into its parts, an update makes new ones.

    Attributes:
        config: the hyperparameters it goes on with.
        items, users: vocabularies, as long as the tables.
        net: the recommender.
        row_states, dense_state: what the optimizers remember.
        methods: against forgetting, by name, consolidated.
        counts: how often each item was a positive event, [N] float64.
        memory: histories, probes and pending samples, functions of the log alone.
        updates: how many updates led here.
        mixing: what ranks the candidates of the network and of the fast memory's sources; None
            where nobody has asked for one.
        mixing_until: how far the stream's lessons have taught it, in the words of whoever teaches.
    """

    config: LearningConfig
    items: Vocabulary
    users: Vocabulary
    net: Recommender
    row_states: dict[str, RowState]
    dense_state: AdamState
    methods: dict[str, Method]
    counts: Tensor
    memory: StreamMemory
    updates: int = 0
    mixing: Mixing | None = None
    mixing_until: str = ""

    @classmethod
    def initial(cls, config: LearningConfig) -> Self:
        """The state that has learned nothing and knows nobody."""
        memory = StreamMemory(
            Histories(config.max_history), Probes(config.probe_size, config.probe_bands)
        )
        return cls._untrained(config, Vocabulary(), Vocabulary(), memory)

    def untrained(self, config: LearningConfig | None = None) -> LearningState:
        """Fresh weights beside this state's vocabularies and memory, as a full retrain starts.

        Its tables have no rows: to the update that learns from it all of them are new.

        Args:
            config: another encoder, dimension or heads; None keeps this state's.
        """
        fresh = self._untrained(config or self.config, self.items, self.users, self.memory)
        return replace(fresh, counts=torch.zeros(len(self.items), dtype=torch.float64))

    def with_rows(self) -> LearningState:
        """This state with a row for every item and user that it knows, new ones by chance."""
        net = self.net.grown(len(self.items), len(self.users))
        sizes = {name: len(part) for name, part in net.snapshot().items()}
        row_states = {name: rows.grown(sizes[name]) for name, rows in self.row_states.items()}
        return replace(self, net=net, row_states=row_states)

    @classmethod
    def _untrained(
        cls, config: LearningConfig, items: Vocabulary, users: Vocabulary, memory: StreamMemory
    ) -> Self:
        net = Recommender.initial(config)
        return cls(
            config=config,
            items=items,
            users=users,
            net=net,
            row_states={"items": RowState.empty(), "users": RowState.empty()},
            dense_state=AdamState.empty(net.layout.size),
            methods=chosen_methods(config),
            counts=torch.zeros(0, dtype=torch.float64),
            memory=memory,
        )

    def export(self) -> Bundle:
        """This state as tensors, ids and plain values; tensors are shared, not copied."""
        learning: dict[str, Tensor] = {}
        for name, rows in self.row_states.items():
            learning |= prefixed(f"optimizer.{name}.", rows.state_dict())
        learning |= prefixed("optimizer.dense.", self.dense_state.state_dict())
        for name, method in self.methods.items():
            learning |= prefixed(f"method.{name}.", method.state_dict())
        remembered, types = memory_tensors(self.memory, self.items, self.users)
        learning |= prefixed("memory.", remembered)
        return Bundle(
            tensors={"serving": self._serving(), "learning": learning},
            ids={"items": list(self.items.ids), "users": list(self.users.ids)},
            meta={
                "format": FORMAT,
                "net": self.net.meta,
                "memory": memory_meta(self.memory),
                "types": types,
                "updates": self.updates,
                "mixing_until": self.mixing_until,
                **mixing_meta(self.mixing),
            },
        )

    def _serving(self) -> dict[str, Tensor]:
        """What answers are made of: the net, how often items were met, the mixing, and how firmly
        items are known where that can be said."""
        found = {**self.net.tensors(), "counts": self.counts, **mixing_tensors(self.mixing)}
        examples = float(self.counts.sum()) / max(self.updates, 1)
        precision = vector_precision(self.methods.values(), self.net, examples)
        return found if precision is None else {**found, "precision": precision}

    @classmethod
    def restore(cls, bundle: Bundle, config: LearningConfig) -> Self:
        """The inverse of `export`; a method that the bundle does not know starts afresh.

        Raises:
            ValueError: the bundle has another format, encoder, dimension, kind of score or other
                heads: its weights are of no use under this config (see `recall`).
        """
        _check(bundle.meta, config)
        items, users, memory = _remembered(bundle, config)
        learning = bundle.tensors["learning"]
        methods = chosen_methods(config)
        for name, method in methods.items():
            if tensors := stripped(learning, f"method.{name}."):
                methods[name] = method.load(tensors)
        net_meta = bundle.meta["net"] | {"max_history": config.max_history}
        return cls(
            config=config,
            items=items,
            users=users,
            net=Recommender.from_snapshot(bundle.tensors["serving"], net_meta),
            row_states={
                name: RowState.load(stripped(learning, f"optimizer.{name}."))
                for name in ("items", "users")
            },
            dense_state=AdamState.load(stripped(learning, "optimizer.dense.")),
            methods=methods,
            counts=_counts(bundle),
            memory=memory,
            updates=int(bundle.meta["updates"]),
            mixing=any_mixing_from(bundle),
            mixing_until=str(bundle.meta.get("mixing_until", "")),
        )

    @classmethod
    def transferred(cls, bundle: Bundle, config: LearningConfig) -> Self:
        """A state that has learned nothing here, and begins with what another one knows.

        Vocabularies, rows, dense weights, how often each item was met and the mixing are taken
        over; memory,
        methods and Adam's moments begin anew. A row's own rate goes on as if it had met a single
        gradient: so it takes to new data at once, and is still one that was learned.

        Raises:
            ValueError: see `restore`; or the other one's encoder has blocks or adapters, which
                belong to methods that begin anew here.
        """
        known, fresh = cls.restore(bundle, config), cls.initial(config)
        for what in ("blocks", "adapters"):
            if getattr(known.net, what):
                raise ValueError(
                    f"{what}: the state's encoder has some, a new one begins with none"
                )
        return replace(
            fresh,
            items=known.items,
            users=known.users,
            net=known.net,
            counts=known.counts,
            mixing=known.mixing,
            dense_state=AdamState.empty(known.net.layout.size),
            row_states={
                name: RowState(rows.mean_square, rows.count.clamp(max=1.0))
                for name, rows in known.row_states.items()
            },
        )

    @classmethod
    def recall(cls, bundle: Bundle, config: LearningConfig) -> LearningState:
        """Vocabularies and memory of a bundle under another structure, untrained.

        Raises:
            ValueError: the bundle has another format.
        """
        if bundle.meta.get("format") != FORMAT:
            raise ValueError(f"format: expected {FORMAT}, got {bundle.meta.get('format')}")
        items, users, memory = _remembered(bundle, config)
        return cls._untrained(config, items, users, memory).untrained().with_rows()


def _counts(bundle: Bundle) -> Tensor:
    """They were no part of what is served once."""
    serving, learning = bundle.tensors["serving"], bundle.tensors["learning"]
    return serving["counts"] if "counts" in serving else learning["counts"]


def _remembered(
    bundle: Bundle, config: LearningConfig
) -> tuple[Vocabulary, Vocabulary, StreamMemory]:
    items, users = Vocabulary(bundle.ids["items"]), Vocabulary(bundle.ids["users"])
    memory = memory_from(
        stripped(bundle.tensors["learning"], "memory."),
        bundle.meta["memory"],
        bundle.meta["types"],
        items,
        users,
        (config.max_history, config.probe_size, config.probe_bands),
    )
    return items, users, memory


def _check(meta: dict[str, Any], config: LearningConfig) -> None:
    asked = {
        "format": FORMAT,
        "encoder": config.encoder,
        "embedding_dim": config.embedding_dim,
        "normalize": config.normalize,
        "type_heads": list(config.type_heads),
        **encoder_of(config).settings,
    }
    found = {"format": meta.get("format"), "type_heads": [], **meta.get("net", {})}
    for name, value in asked.items():
        if found.get(name) != value:
            raise ValueError(f"{name}: the state has {found.get(name)!r}, asked for is {value!r}")
