"""What every encoder promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.batches import SequenceBatch
from models.config import LearningConfig
from models.nets import Recommender, encoder_of
from models.registry import ENCODERS
from tests.models.devices import each_device

each_encoder = pytest.mark.parametrize("encoder", sorted(ENCODERS))


def recommender(
    encoder: str, device: str = "cpu", *, normalize: bool = True, items: int = 13, users: int = 5
) -> Recommender:
    config = LearningConfig(encoder=encoder, embedding_dim=6, normalize=normalize, max_history=4)
    return Recommender.initial(config).grown(items, users, device)


@each_encoder
def test_an_encoder_has_the_name_that_settings_use(encoder: str) -> None:
    assert encoder_of(LearningConfig(encoder=encoder)).name == encoder


@each_encoder
@each_device
@pytest.mark.parametrize("normalize", [True, False])
def test_queries_and_vectors_have_one_dimension(encoder: str, device: str, normalize: bool) -> None:
    net = recommender(encoder, device, normalize=normalize)
    queries = net.encode([[], [3], [1, 2, 3, 4, 5, 6]], [-1, 2, 0])
    assert queries.shape == (3, 6)
    assert net.item_vectors().shape == (13, 6)
    assert bool(torch.isfinite(queries).all())
    if normalize:
        assert torch.allclose(queries.norm(dim=1).cpu(), torch.tensor(12.0))


@each_encoder
def test_encoding_does_not_depend_on_company(encoder: str) -> None:
    net = recommender(encoder)
    histories, users = [[1, 2], [], [5], [3, 3, 1], [9, 8, 7, 6, 5, 4]], [0, -1, 4, -1, 2]
    together = net.encode(histories, users)
    for line, (history, user) in enumerate(zip(histories, users, strict=True)):
        torch.testing.assert_close(net.encode([history], [user])[0], together[line])


@each_encoder
def test_only_the_latest_known_items_count(encoder: str) -> None:
    net = recommender(encoder)
    torch.testing.assert_close(net.encode([[9, 9, 1, 2, -1, 4]]), net.encode([[1, 2, 4]]))


@each_encoder
def test_encode_is_the_query_after_the_last_input(encoder: str) -> None:
    net = recommender(encoder)
    nothing = torch.empty(0)
    batch = SequenceBatch(torch.tensor([1]), torch.tensor([[-1, 2, 5]]), nothing, nothing)
    torch.testing.assert_close(net.queries(batch)[0, -1], net.encode([[2, 5]], [1])[0])


@each_encoder
def test_a_query_never_sees_later_inputs(encoder: str) -> None:
    net, nothing = recommender(encoder), torch.empty(0)
    unknown = torch.tensor([-1, -1])
    inputs = torch.tensor([[-1, 2, 5, 7], [-1, 2, 9, 1]])
    queries = net.queries(SequenceBatch(unknown, inputs, nothing, nothing))
    torch.testing.assert_close(queries[0, :2], queries[1, :2])
    assert not torch.allclose(queries[0, 2], queries[1, 2])


@each_encoder
@each_device
def test_a_query_never_sees_how_its_batch_was_filled_up(encoder: str, device: str) -> None:
    net, nothing = recommender(encoder, device), torch.empty(0, device=device)
    inputs = torch.tensor([[-1, 2, -1, 5]], device=device)
    filled = torch.cat([inputs, torch.full((1, 9), -1, device=device)], dim=1)
    company = torch.cat([filled, torch.arange(13, device=device)[None, :]])
    alone = net.queries(SequenceBatch(torch.tensor([-1], device=device), inputs, nothing, nothing))
    unknown = torch.tensor([-1, -1], device=device)
    together = net.queries(SequenceBatch(unknown, company, nothing, nothing))
    torch.testing.assert_close(together[0, :4], alone[0])


@each_encoder
def test_growth_leaves_old_scores_unchanged(encoder: str) -> None:
    net = recommender(encoder)
    grown = net.grown(40, 9)
    asked = [[1, 2], []], [3, -1]
    assert torch.equal(grown.encode(*asked), net.encode(*asked))
    assert torch.equal(grown.item_vectors()[:13], net.item_vectors())


@each_encoder
def test_a_grown_copy_shares_nothing(encoder: str) -> None:
    net = recommender(encoder)
    before = {name: tensor.clone() for name, tensor in net.snapshot().items()}
    for tensor in net.grown(13, 5).snapshot().values():
        tensor.fill_(3.0)
    for name, tensor in net.snapshot().items():
        assert torch.equal(tensor, before[name])


@each_encoder
def test_the_same_seed_gives_the_same_net(encoder: str) -> None:
    first, second = recommender(encoder), recommender(encoder)
    for name, tensor in first.snapshot().items():
        assert torch.equal(tensor, second.snapshot()[name])


@each_encoder
def test_snapshot_and_meta_make_it_again(encoder: str) -> None:
    net = recommender(encoder)
    again = Recommender.from_snapshot(net.snapshot(), net.meta)
    assert torch.equal(again.encode([[1, 5]], [2]), net.encode([[1, 5]], [2]))
    assert torch.equal(again.grown(20, 9).items.rows, net.grown(20, 9).items.rows)


@each_encoder
@each_device
def test_the_written_out_gradients_are_autograds(encoder: str, device: str) -> None:
    """`examples` and `queries` are the same function."""
    net = recommender(encoder, device)
    random = np.random.default_rng(0)
    inputs = torch.from_numpy(random.integers(0, 13, (5, 4))).to(device)
    inputs[:, 0] = -1
    users = torch.tensor([0, -1, 3, 3, -1], device=device)
    last = torch.tensor([0, 1, 2, 3, 3], device=device)
    given, dense = net.gather(inputs, users), net.layout.views(net.dense)
    found, _ = net.encoder.examples(given, last, dense)
    expected = net.encoder.queries(given, dense, None)[torch.arange(5), last]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_an_unknown_encoder_is_refused_by_name() -> None:
    net = recommender("gru")
    with pytest.raises(ValueError, match="allowed are gru, mf"):
        Recommender.from_snapshot(net.snapshot(), net.meta | {"encoder": "lstm"})
