"""What heads promise on every encoder."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from models.batches import NO_HEAD, SampleSet
from models.config import LearningConfig
from models.continual.generative import GenerativeReplay
from models.continual.moments import Rehearsal
from models.continual.scoring import score
from models.continual.selection import keyed
from models.continual.state import LearningState
from models.continual.window import learn_window
from models.nets import Recommender
from models.ranking.metrics import target_ranks
from models.registry import ENCODERS
from tests.models.errands import WANTED, errands
from tests.models.tastes import checkerboard, learned

BOTH = ("click", "purchase")
CONFIG = LearningConfig(
    embedding_dim=8,
    max_history=8,
    probe_share=0.0,
    holdout_share=0.0,
    min_steps=5,
    fisher_samples=64,
)

each_encoder = pytest.mark.parametrize("encoder", sorted(ENCODERS))


def config(encoder: str, *heads: str) -> LearningConfig:
    return dataclasses.replace(CONFIG, encoder=encoder, type_heads=heads)


def net_of(encoder: str, *, normalize: bool = True) -> Recommender:
    """Two heads that differ."""
    settings = dataclasses.replace(config(encoder, *BOTH), normalize=normalize)
    net = Recommender.initial(settings).grown(13, 5)
    weight_of(net).normal_(generator=torch.Generator().manual_seed(2))
    return net


def weight_of(net: Recommender) -> Tensor:
    return net.layout.views(net.dense)["head_weight"]


def shares(state: LearningState, objective: str) -> float:
    """Share of the best ten items of every user that are of the type asked for."""
    users = list(state.memory.histories.users())
    rows = [state.items.rows(state.memory.histories[user]).tolist() for user in users]
    heads = state.net.heads.numbers([objective] * len(users))
    queries = state.net.encode(rows, state.users.rows(users).tolist(), heads)
    best = (queries @ state.net.item_vectors().T).topk(10).indices
    hits = [state.items.id(row)[0] == WANTED[objective] for row in best.flatten().tolist()]
    return sum(hits) / len(hits)


@each_encoder
def test_without_heads_nothing_is_there(encoder: str) -> None:
    net = Recommender.initial(config(encoder))
    assert net.layout.size == net.encoder.layout(8).size + 1
    assert "type_heads" not in net.meta


@each_encoder
def test_a_new_head_is_the_shared_query(encoder: str) -> None:
    net = Recommender.initial(config(encoder, *BOTH)).grown(13, 5)
    asked = [[1, 2], [], [5]], [3, -1, 0]
    assert torch.equal(net.encode(*asked, [0, 1, NO_HEAD]), net.encode(*asked))


@each_encoder
@pytest.mark.parametrize("normalize", [True, False])
def test_a_query_goes_through_its_own_head(encoder: str, normalize: bool) -> None:
    """h + W h, each line with its own W, whoever is beside it."""
    net = net_of(encoder, normalize=normalize)
    histories, users = [[1, 2], [1, 2], [], [1, 2]], [3, 3, -1, 3]
    heads = [1, NO_HEAD, 0, 0]
    found = net.encode(histories, users, heads)
    plain = net.encode(histories, users)
    for line, (shared, head) in enumerate(zip(plain, heads, strict=True)):
        expected = shared if head == NO_HEAD else shared + weight_of(net)[head] @ shared
        if normalize:  # the length of h falls out, that of the query is the temperature
            expected = expected / expected.norm() * shared.norm()
        torch.testing.assert_close(found[line], expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(found[0], found[3])


@each_encoder
def test_snapshot_and_meta_make_the_heads_again(encoder: str) -> None:
    net = net_of(encoder)
    again = Recommender.from_snapshot(net.snapshot(), net.meta)
    grown = net.grown(20, 9)
    for other in (again, grown):
        assert other.heads == net.heads
        assert torch.equal(other.encode([[1]], [2], [1]), net.encode([[1]], [2], [1]))


@each_encoder
@pytest.mark.parametrize("methods", [(), ("online-ewc", "si", "distillation", "replay")])
def test_a_head_that_no_event_meets_changes_nothing(encoder: str, methods: tuple[str, ...]) -> None:
    """To the bit: rows, encoder and temperature of two updates are those of no heads at all."""
    draw = learn_window(
        LearningState.initial(config(encoder)), checkerboard()[:100], seed=0, draw=()
    ).admitted
    nets = []
    for heads in ((), ("like",)):
        settings = dataclasses.replace(config(encoder, *heads), methods=methods)
        state = learned(LearningState.initial(settings), checkerboard()[:200])
        nets.append(learn_window(state, checkerboard()[200:400], seed=1, draw=draw).state.net)
    plain, headed = nets
    assert torch.equal(plain.items.rows, headed.items.rows)
    assert torch.equal(plain.users.rows, headed.users.rows)
    views = headed.layout.views(headed.dense)
    for name, part in plain.layout.views(plain.dense).items():
        assert torch.equal(part, views[name]), name
    assert not weight_of(headed).any()


@each_encoder
def test_heads_learn_different_things(encoder: str) -> None:
    """Of the same histories; without heads one query has to answer for both."""
    for heads in (BOTH, ()):
        settings = dataclasses.replace(config(encoder, *heads), embedding_dim=16, min_steps=200)
        state = learned(LearningState.initial(settings), errands(), size=10_000)
        found = {kind: shares(state, kind) for kind in BOTH}
        if heads:
            assert min(found.values()) > 0.8, found
        else:
            assert sum(found.values()) == pytest.approx(1.0), "one list for both"


@each_encoder
def test_targets_are_ranked_through_their_own_heads(encoder: str) -> None:
    """As gate and test-then-train do it; a type without a head by the shared query."""
    state = learned(LearningState.initial(config(encoder, "purchase")), errands()[:300], 300)
    weight_of(state.net).normal_(generator=torch.Generator().manual_seed(2))
    samples = state.memory.histories.samples(errands(1)[:40])
    found, vectors = score(state, samples).ranks, state.net.item_vectors()
    expected: list[float] = []
    for sample in samples:
        for place, kind in enumerate(sample.types, len(sample.item_ids) - sample.num_targets):
            past = state.items.rows(sample.item_ids[:place]).tolist()
            heads = state.net.heads.numbers([kind])
            query = state.net.encode([past], [state.users.row(sample.user_id)], heads)
            target = torch.from_numpy(state.items.rows([sample.item_ids[place]]))
            expected.extend(target_ranks(query, vectors, target))
    assert np.array_equal(found, expected)
    plain = dataclasses.replace(state, net=blind(state.net))
    assert not np.array_equal(score(plain, samples).ranks, expected)


def blind(net: Recommender) -> Recommender:
    """The same weights with heads that add nothing."""
    twin = Recommender.from_snapshot(net.snapshot(), net.meta).grown(len(net.items), len(net.users))
    weight_of(twin).zero_()
    return twin


@each_encoder
def test_a_version_goes_out_and_in_with_its_heads(encoder: str) -> None:
    settings = config(encoder, *BOTH)
    state = learned(LearningState.initial(settings), errands()[:200])
    assert weight_of(state.net).any()
    again = LearningState.restore(state.export(), settings)
    after = [learned(one, errands()[200:300]).net.dense for one in (state, again)]
    assert torch.equal(*after)


@pytest.mark.parametrize("asked", [(), ("click",), ("click", "like")])
def test_other_heads_than_the_versions_are_refused_and_recalled(asked: tuple[str, ...]) -> None:
    bundle = learned(LearningState.initial(config("gru", *BOTH)), errands()[:100]).export()
    with pytest.raises(ValueError, match="type_heads: the state has"):
        LearningState.restore(bundle, config("gru", *asked))
    assert LearningState.recall(bundle, config("gru", *asked)).net.heads.types == asked


def test_the_order_in_which_heads_are_named_does_not_matter() -> None:
    assert config("gru", "purchase", "click") == config("gru", "click", "purchase")


@pytest.mark.parametrize("heads", [("click", "click"), ("",)])
def test_heads_without_a_name_or_twice_are_refused(heads: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="type_heads: "):
        config("gru", *heads)


def test_a_target_looked_ahead_to_brings_its_head_along() -> None:
    state = learned(LearningState.initial(config("gru", *BOTH)), errands()[:200])
    samples = state.memory.histories.samples(errands()[200:300])
    rows = state.items.rows, state.users.rows
    batch = SampleSet.of(samples, *rows, BOTH).batch(np.arange(len(samples)))
    ahead = batch.looking_ahead(1.0, np.random.default_rng(0))
    assert not torch.equal(ahead.targets, batch.targets)
    assert ahead.heads is not None
    for row, head in zip(ahead.targets.flatten(), ahead.heads.flatten(), strict=True):
        if row >= 0:
            assert state.items.id(int(row))[0] == "CP"[int(head)]


def test_made_up_histories_are_of_every_head_and_of_none() -> None:
    settings = dataclasses.replace(config("gru", *BOTH), methods=("generative-replay",))
    state = learned(LearningState.initial(settings), errands(), 240)
    made = GenerativeReplay.initial(settings).rehearse(Rehearsal(state, (), 30, 0))
    assert [len(sample.types) == sample.num_targets for sample in made] == [True] * 30
    assert {sample.types[0] for sample in made} == {"", *BOTH}


def test_what_a_buffer_keeps_by_loss_is_asked_through_the_heads() -> None:
    state = learned(LearningState.initial(config("gru", *BOTH)), errands(), 240)
    weight_of(state.net).normal_(generator=torch.Generator().manual_seed(2))
    samples = state.memory.histories.samples(errands(1)[:40])
    twin = dataclasses.replace(state, net=blind(state.net))
    assert keyed("loss", samples, state) != keyed("loss", samples, twin)
