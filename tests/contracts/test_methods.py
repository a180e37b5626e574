"""What every method against forgetting promises, with every encoder that it declares."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.config import LearningConfig
from models.continual.method import Method
from models.continual.methods import chosen_methods, method_named
from models.continual.state import LearningState
from models.continual.stopping import Stopping
from models.continual.update import update
from models.continual.window import Candidate, learn_window
from models.interactions import Event, Sample
from models.registry import ENCODERS, METHODS, encoders_of, methods_with
from tests.models.devices import each_device
from tests.models.tastes import checkerboard, event, learned, purity, windows

PAIRS = [(name, encoder) for name in METHODS for encoder in sorted(method_named(name).encoders)]
OFF: dict[str, dict[str, Any]] = {
    "l2": {"strength": 0.0},
    "ewc": {"strength": 0.0},
    "online-ewc": {"strength": 0.0},
    "si": {"strength": 0.0},
    "generative-replay": {"ratio": 0.0},
    "distillation": {"strength": 0.0},
    "feature-extraction": {"after": 10**6},
    "progressive": {"most": 0},
    "den": {"most": 0, "selected": 1.0},
    "adapters": {"after": 10**6},
    "fine-tuning": {"layers": 0},
    "reptile": {"rate": 0.0},
    "soft-sharing": {"strength": 0.0},
}
"""By method, the parameters under which it changes nothing. `replay` has none: nothing is drawn."""
ON: dict[str, dict[str, Any]] = {
    "l2": {"strength": 10.0},
    "ewc": {"strength": 100.0},
    "online-ewc": {"strength": 100.0},
    "si": {"strength": 10.0},
    "distillation": {"strength": 5.0, "on": "both", "adaptive": False},
    "adapters": {"after": 3},  # born in the update that is looked at
    "soft-sharing": {"strength": 5.0},
    "progressive": {"every": 1, "width": 3},
    "den": {"threshold": -1.0, "units": 3},
}
"""Where the defaults are too mild to be seen in a test this small."""

HEADS: dict[str | None, tuple[str, ...]] = {"soft-sharing": ("click", "purchase")}
"""By method, the heads without which it has nothing to do."""


each_method = pytest.mark.parametrize("name", METHODS)
each_pair = pytest.mark.parametrize(("name", "encoder"), PAIRS)


def config(name: str | None, encoder: str = "gru", **parameters: Any) -> LearningConfig:
    return LearningConfig(
        encoder=encoder,
        methods=() if name is None else (name,),
        type_heads=HEADS.get(name, ()),
        parameters={} if name is None else {name: parameters},
        embedding_dim=8,
        probe_share=0.0,
        layers=1,
        epochs=1,
        min_steps=5,
        fisher_samples=16,
    )


def second_window(settings: LearningConfig, parent: LearningState | None = None) -> Candidate:
    """Both tastes learned, then a window under `settings`, with a draw."""
    state = parent if parent is not None else grown_up(settings)
    return learn_window(state, window(), seed=1, draw=drawn())


def before() -> list[Event]:
    return checkerboard()


@functools.cache
def grown_up(settings: LearningConfig) -> LearningState:
    """A state that has learned both tastes."""
    return learned(LearningState.initial(settings), before())


def window() -> list[Event]:
    """Tastes flip, and some users come who meet items that are new."""
    new = [event(f"v{n % 4}", f"C{n % 7}", 5_000 + n) for n in range(40)]
    return [*windows(checkerboard(flipped=True))[0], *new]


def nothing() -> list[Event]:
    """A window that has nothing to train on."""
    return [event("u0", "A0", 4_000, weight=0.0)]


@functools.cache
def drawn(*, flipped: bool = False) -> list[Sample]:
    """What a replay buffer would give of the first period, or of one of flipped tastes."""
    parent = LearningState.initial(config(None))
    return learn_window(parent, checkerboard(flipped=flipped)[:240], seed=3, draw=()).admitted


def weights(candidate: Candidate) -> dict[str, Tensor]:
    return candidate.state.net.snapshot()


def different(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return any(not torch.equal(left[name], right[name]) for name in left)


@each_method
def test_it_declares_the_encoders_that_it_works_with(name: str) -> None:
    kind = method_named(name)
    assert kind.name == name
    assert kind.encoders
    assert kind.encoders <= set(ENCODERS)
    assert kind.encoders == encoders_of(name), "what settings are checked by"


@pytest.mark.parametrize(
    ("name", "encoder"), sorted({(name, e) for name in METHODS for e in ENCODERS} - {*PAIRS})
)
def test_an_encoder_that_it_does_not_work_with_is_refused(name: str, encoder: str) -> None:
    fit = " and ".join(sorted(method_named(name).encoders))
    with pytest.raises(ValueError, match=f"methods: {name} works with {fit}, not with {encoder}"):
        config(name, encoder)


@each_pair
def test_it_makes_a_difference(name: str, encoder: str) -> None:
    """The same update from the same weights, with it and without."""
    settings = config(name, encoder, **ON.get(name, {}))
    parent = grown_up(settings)
    bare = dataclasses.replace(
        parent, config=dataclasses.replace(settings, methods=(), parameters={}), methods={}
    )
    with_it, without = second_window(settings, parent), second_window(settings, bare)
    assert different(weights(with_it), weights(without))


@each_pair
def test_switched_off_it_is_bit_identical_to_no_method(name: str, encoder: str) -> None:
    none = dataclasses.replace(config(None, encoder), type_heads=HEADS.get(name, ()))
    off = config(name, encoder, **OFF.get(name, {}))
    draw = drawn() if name in OFF else []
    parents = [grown_up(settings) for settings in (off, none)]
    found, expected = (learn_window(parent, window(), seed=1, draw=draw) for parent in parents)
    assert not different(weights(found), weights(expected))


@each_pair
def test_its_state_goes_out_and_in_to_the_bit(name: str, encoder: str) -> None:
    """A version written and read learns on as one that stayed in memory."""
    settings = config(name, encoder, **ON.get(name, {}))
    parent = grown_up(settings)
    again = LearningState.restore(parent.export(), settings)
    first, second = second_window(settings, parent), second_window(settings, again)
    assert not different(weights(first), weights(second))
    for key, tensor in first.state.methods[name].state_dict().items():
        assert torch.equal(tensor, second.state.methods[name].state_dict()[key])


@each_pair
def test_an_update_leaves_the_parent_as_it_was(name: str, encoder: str) -> None:
    settings = config(name, encoder, **ON.get(name, {}))
    parent = grown_up(settings)
    kept = {key: part.clone() for key, part in parent.methods[name].state_dict().items()}
    rows = parent.net.items.rows.clone()
    second_window(settings, parent)
    assert torch.equal(parent.net.items.rows, rows)
    for key, part in parent.methods[name].state_dict().items():
        assert torch.equal(part, kept[key])


@each_pair
def test_stopped_early_it_is_as_if_it_had_been_asked_for_so_many_passes(
    name: str, encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit, in all that a version remembers: what it gathers on its way goes back, too."""
    settings = config(name, encoder, **ON.get(name, {}))
    parent, new = grown_up(settings), drawn(flipped=True)
    patient = dataclasses.replace(settings, patience=2, epochs=6, min_steps=0, batch_size=16)
    losses = iter((2.0, 1.0, 4.0, 3.0))
    monkeypatch.setattr(Stopping, "loss", lambda self: next(losses))
    stopped, report = update(
        dataclasses.replace(parent, config=patient), new, drawn(), seed=1, held_out=drawn()[:1]
    )
    assert (report.passes, report.kept_pass, report.stopped_early) == (4, 2, True)
    short = dataclasses.replace(patient, patience=0, epochs=2)
    asked, _ = update(dataclasses.replace(parent, config=short), new, drawn(), seed=1)
    found, expected = (state.export().tensors for state in (stopped, asked))
    for part in expected:
        assert not different(found[part], expected[part])


@each_method
def test_a_window_with_nothing_to_learn_is_no_update(name: str) -> None:
    """However many come: the encoder grows in none, and learning goes on as if none had been."""
    encoder = min(method_named(name).encoders)
    settings = config(name, encoder, **ON.get(name, {}))
    parent, empty = grown_up(settings), grown_up(settings)
    for number in range(3):
        empty = learn_window(empty, nothing(), seed=number, draw=()).state
        assert empty.net.layout == parent.net.layout
    found, expected = (second_window(settings, state) for state in (empty, parent))
    assert not different(weights(found), weights(expected))
    tensors = found.state.methods[name].state_dict()
    assert not different(tensors, expected.state.methods[name].state_dict())


@pytest.mark.parametrize("grows", ["progressive", "den", "adapters"])
def test_l2_follows_an_encoder_that_grows_after_a_window_with_nothing_to_learn(grows: str) -> None:
    """It holds what was consolidated and leaves what was born free, as it does without one."""
    asked = {"l2": {"strength": 10.0}, grows: ON[grows]}
    settings = dataclasses.replace(config("l2"), methods=("l2", grows), parameters=asked)
    parent = grown_up(settings)
    assert second_window(settings, parent).state.net.layout != parent.net.layout, "it grows"
    empty = learn_window(parent, nothing(), seed=1, draw=()).state
    found, expected = (second_window(settings, state) for state in (empty, parent))
    assert not different(weights(found), weights(expected))


def tensors(thing: Any) -> Iterator[Tensor]:
    """All that a method holds, in whatever it holds them."""
    if isinstance(thing, Tensor):
        yield thing
    elif isinstance(thing, Mapping):
        yield from tensors(list(thing.values()))
    elif isinstance(thing, list | tuple):
        for part in thing:
            yield from tensors(part)
    elif type(thing).__module__.startswith("models."):
        names = getattr(thing, "__slots__", None) or vars(thing)
        yield from tensors([getattr(thing, name) for name in names])


@each_method
@each_device
def test_it_learns_anywhere_and_leaves_nothing_there(name: str, device: str) -> None:
    """Beside others that hold weights still and grow; the version lies on the CPU."""
    names = tuple(dict.fromkeys((name, "fine-tuning", "progressive", "den")))
    settings = dataclasses.replace(
        config(name, **ON.get(name, {})),
        methods=names,
        parameters={name: ON.get(name, {}) for name in names},
    )
    state = LearningState.initial(settings)
    for number, events in enumerate((*windows(before())[:2], nothing(), window())):
        state = learn_window(state, events, seed=number, draw=(), device=device).state
    assert state.net.blocks.of("progressive")
    kept = [*state.export().tensors.values(), state.methods]
    assert {tensor.device.type for tensor in tensors(kept)} == {"cpu"}
    assert all(bool(part.isfinite().all()) for part in tensors(kept) if part.is_floating_point())


@each_method
def test_learning_goes_on_under_it(name: str) -> None:
    encoder = min(method_named(name).encoders)
    settings = dataclasses.replace(config(name, encoder), min_steps=80, embedding_dim=32)
    state = grown_up(settings)
    assert purity(state, "A") > 0.7, "a half is chance"


@each_method
def test_a_parameter_that_it_does_not_have_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} has"):
        config(name, nonsense=1)


def test_a_method_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="methods: 'mas' is not known; allowed are l2, ewc"):
        config("mas")
    with pytest.raises(ValueError, match="'mas' is not known"):
        LearningConfig(parameters={"mas": {}})


@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [
        ("l2", "strength", -1.0),
        ("online-ewc", "decay", 1.1),
        ("si", "damping", 0.0),
        ("distillation", "on", "nothing"),
        ("distillation", "form", "by hand"),
        ("distillation", "temperature", "hot"),
        ("distillation", "adaptive", 1),
        ("generative-replay", "length", 1),
        ("generative-replay", "length", 2.5),
        ("generative-replay", "length", 1_001),
        ("generative-replay", "top", 10.5),
        ("feature-extraction", "after", 1.5),
        ("ewc", "strength", float("inf")),
        ("l2", "strength", float("nan")),
        ("adapters", "most", 7),
        ("reptile", "rate", 2),
        ("progressive", "width", 0),
        ("progressive", "every", 1.5),
        ("progressive", "rows", 1),
        ("den", "threshold", -1.5),
        ("den", "most", -1),
        ("den", "selected", 1.5),
        ("fine-tuning", "layers", -1),
        ("fine-tuning", "unfreeze", 0.5),
        ("replay", "keep", "everything"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, parameter: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name}: {parameter}: must be"):
        config(name, **{parameter: value})


@pytest.mark.parametrize("name", ["weight_decay", "replay_ratio", "gate_margin"])
def test_a_setting_that_is_not_finite_is_refused_by_name(name: str) -> None:
    for value, sentence in ((float("inf"), "finite"), (float("nan"), "at least 0.0")):
        given: dict[str, Any] = {name: value}
        with pytest.raises(ValueError, match=f"{name}: must be {sentence}, got"):
            LearningConfig(**given)


def test_parameters_of_a_method_that_is_not_named_are_known_to_change_nothing() -> None:
    given = {"ewc": {"strength": 2.0}, "l2": {"strength": 3.0}}
    assert LearningConfig(methods=("l2",), parameters=given).unused == ["ewc"]


def test_methods_stand_together_in_any_order() -> None:
    """All of them at once, after a window with nothing to learn: an update comes out the same to
    rounding."""
    names = list(METHODS)
    states = []
    for order in (names, names[::-1]):
        settings = dataclasses.replace(
            config(None), methods=tuple(order), type_heads=("click", "purchase")
        )
        assert list(chosen_methods(settings)) == order
        parent = learned(LearningState.initial(settings), before()[:300])
        parent = learn_window(parent, nothing(), seed=2, draw=()).state
        states.append(weights(second_window(settings, parent)))
    for key, tensor in states[0].items():
        torch.testing.assert_close(tensor, states[1][key], rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize("encoder", sorted(ENCODERS))
def test_before_anything_is_consolidated_none_does_anything(encoder: str) -> None:
    """To the bit: versions that differ in methods alone share their first update."""
    none = dataclasses.replace(config(None, encoder), type_heads=("click", "purchase"))
    all_of_them = dataclasses.replace(none, methods=methods_with(encoder))
    found, expected = (
        learn_window(LearningState.initial(settings), window(), seed=1, draw=())
        for settings in (all_of_them, none)
    )
    assert not different(weights(found), weights(expected))


HOOKS = [name for name, part in vars(Method).items() if inspect.isfunction(part)]
"""In the order in which `Method` lists them."""
ASIDE = {"state_dict", "load"}
"""Not called in an update."""


def test_an_update_calls_the_hooks_in_the_order_of_the_class_and_of_the_texts() -> None:
    called: list[str] = []

    class Diary(Method):
        name = "diary"
        watches_moves = True

    def noting(hook: str) -> Any:
        def note(self: Method, *given: Any, **named: Any) -> Any:
            called.append(hook)
            return getattr(Method, hook)(self, *given, **named)

        return note

    hooks = [hook for hook in HOOKS if hook not in ASIDE]
    for hook in hooks:
        setattr(Diary, hook, noting(hook))
    settings = dataclasses.replace(config(None), patience=1, epochs=2)
    parent = dataclasses.replace(grown_up(settings), methods={"diary": Diary()})
    second_window(settings, parent)

    assert list(dict.fromkeys(called)) == hooks
    table = (Path(__file__).parents[2] / "ARCHITECTURE.md").read_text()
    assert re.findall(r"^\| `(\w+)`: ", table, re.MULTILINE) == hooks
