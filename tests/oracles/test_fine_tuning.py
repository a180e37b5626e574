"""Fine-tuning: which weights belong to a layer, which stand still, and when they learn again."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from models.config import LearningConfig
from models.continual.fine_tuning import FineTuning, Parameters
from models.continual.state import LearningState
from models.continual.window import learn_window
from models.nets import Recommender, encoder_of, sasrec
from models.registry import ENCODERS
from tests.models.tastes import checkerboard, windows

CONFIG = LearningConfig(
    encoder="sasrec",
    layers=2,
    embedding_dim=8,
    methods=("fine-tuning",),
    probe_share=0.0,
    min_steps=4,
    epochs=1,
)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_blocks_input_is_made_of_the_layers_below_it(
    layer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By gradients: none of a weight from this layer on, and some in each part of those below."""
    config = dataclasses.replace(CONFIG, layers=3)
    net = Recommender.initial(config).grown(9, 0)
    noise = torch.randn(len(net.dense), generator=torch.Generator().manual_seed(1))
    dense = (net.dense + 0.3 * noise).requires_grad_()
    seen: dict[int, Tensor] = {}
    normal = sasrec._normal

    def spy(x: Tensor, dense: dict[str, Tensor], place: int) -> Tensor:
        seen[place] = x
        return normal(x, dense, place)

    monkeypatch.setattr(sasrec, "_normal", spy)
    inputs = torch.cat([torch.full((64, 1), -1), torch.arange(64 * 5).view(64, 5) % 9], dim=1)
    given = net.gather(inputs, torch.full((64,), -1))
    net.encoder.queries(given, net.layout.views(dense), None)
    probe = torch.randn(seen[2 * layer].shape, generator=torch.Generator().manual_seed(2))
    gradient = torch.autograd.grad((seen[2 * layer] * probe).sum(), dense, retain_graph=True)[0]
    depths = net.base.depths(8)
    below = torch.zeros(len(dense), dtype=torch.bool)
    below[: len(depths)] = depths < layer
    if layer == 0:
        below |= net.layout.among(["start"])
    assert not gradient[~below].any()
    moved = net.layout.views((gradient != 0) & below)
    for name, part in net.layout.views(below).items():
        lines = (len(part), -1) if part.ndim > 1 else (1, -1)
        assert torch.equal(moved[name].view(lines).any(1), part.view(lines).any(1)), name


@pytest.mark.parametrize("encoder", sorted(ENCODERS))
def test_every_weight_of_an_encoder_has_a_layer(encoder: str) -> None:
    built = encoder_of(dataclasses.replace(CONFIG, encoder=encoder, layers=3, methods=()))
    depths = built.depths(8)
    assert depths.shape == (built.layout(8).size,)
    assert sorted(set(depths.tolist())) == list(range(3 if encoder == "sasrec" else 1))


@pytest.mark.parametrize(
    ("parameters", "still"),
    [
        (Parameters(layers=3, unfreeze=2, after=1), [0, 3, 3, 2, 2, 1, 1, 0, 0]),
        (Parameters(layers=9, unfreeze=1, after=0), [3, 2, 1, 0, 0, 0, 0, 0, 0]),
        (Parameters(layers=2, unfreeze=0, after=2), [0, 0, 2, 2, 2, 2, 2, 2, 2]),
        (Parameters(layers=0, unfreeze=1, after=0), [0] * 9),
    ],
)
def test_the_schedule_of_an_encoder_of_three_layers(
    parameters: Parameters, still: list[int]
) -> None:
    assert [FineTuning(parameters, update).still(3) for update in range(9)] == still


def test_layers_stand_still_and_learn_again_from_the_top() -> None:
    """One more in each update, to the bit; rows and temperature learn throughout."""
    parameters = {"fine-tuning": {"layers": 2, "unfreeze": 1}}
    state = LearningState.initial(dataclasses.replace(CONFIG, parameters=parameters))
    moved = []
    for number, window in enumerate(windows(checkerboard())[:3] + windows(checkerboard())[:2]):
        before = state
        state = learn_window(state, window, seed=number, draw=()).state
        if number == 0:
            continue
        changed = state.net.dense != before.net.dense
        layers = changed[: state.net.base.layout(8).size]
        depths = state.net.base.depths(8)
        moved.append({n for n in range(2) if bool(layers[depths == n].any())})
        assert bool(state.net.layout.views(changed)["log_temperature"].any())
        assert not torch.equal(state.net.items.rows[:10], before.net.items.rows[:10])
    assert moved == [set(), {1}, {0, 1}, {0, 1}]


def test_a_layer_that_stands_still_keeps_its_moments() -> None:
    parameters = {"fine-tuning": {"layers": 1}}
    state = LearningState.initial(dataclasses.replace(CONFIG, parameters=parameters))
    first, second, _ = windows(checkerboard())
    before = learn_window(state, first, seed=1, draw=()).state
    after = learn_window(before, second, seed=2, draw=()).state
    still = before.net.base.depths(8) < 1
    for name, tensor in before.dense_state.state_dict().items():
        kept = after.dense_state.state_dict()[name][: len(still)]
        first_of = tensor.expand(len(before.net.dense))[: len(still)]
        assert torch.equal(kept[still], first_of[still]), "its count of steps as well"
        assert not torch.equal(kept, first_of)


def test_what_is_no_layer_is_not_held() -> None:
    """Heads and temperature lie behind the encoder's weights, however many layers are asked for."""
    config = dataclasses.replace(CONFIG, type_heads=("click", "purchase"))
    net = Recommender.initial(config).grown(3, 0)
    held = FineTuning(Parameters(layers=99, after=0)).held(net)
    assert held is not None
    names = [name for name, part in net.layout.views(held).items() if bool(part.any())]
    assert names == [name for name, _ in net.base.layout(8).shapes]
