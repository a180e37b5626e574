"""A mixing in the files of a version."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.mixing.blend import NETWORK
from models.mixing.bundle import any_mixing_from, mixing_from, mixing_meta, mixing_tensors
from models.mixing.features import names
from models.mixing.mixer import Lesson
from models.mixing.mixing import Mixing
from models.parameters import Bundle
from models.sources import SOURCES
from tests.models.older import as_told


def _bundle(mixing: Mixing | None) -> Bundle:
    serving = {"items": torch.zeros(2, 2), **mixing_tensors(mixing)}
    return Bundle({"serving": serving, "learning": {}}, {}, mixing_meta(mixing))


def test_comes_back_to_the_bit() -> None:
    mixing = Mixing.initial((*SOURCES, NETWORK), seed=3)
    mixer = replace(mixing.mixer, weights=mixing.mixer.weights + 0.1)
    mixing = Mixing(mixer, mixing.experts.after([{"own": 1.0}, {"walk": 0.5}]))
    found = mixing_from(_bundle(mixing))
    assert found is not None
    assert found.experts == mixing.experts
    assert all(torch.equal(found.tensors()[name], part) for name, part in mixing.tensors().items())


def test_none_where_there_is_none() -> None:
    assert mixing_from(_bundle(None)) is None


@pytest.mark.parametrize("sources", [(), ("walk",), ("walk", "own"), tuple(SOURCES)])
def test_one_that_was_learned_for_others_hears_those_that_are_asked(
    sources: tuple[str, ...],
) -> None:
    mixing = Mixing.initial(("own", "sets", NETWORK))
    found = mixing_from(_bundle(mixing), sources)
    assert found is not None
    assert found.sources == (*sources, NETWORK)
    again = mixing_from(_bundle(found), sources)
    assert again is not None
    assert again.sources == found.sources


@pytest.mark.parametrize("name", sorted(Mixing.initial(("own", NETWORK)).tensors()))
def test_broken_tensors_are_refused(name: str) -> None:
    mixing = Mixing.initial(("own", NETWORK))
    tensors = mixing_tensors(mixing)
    broken = (
        {**tensors, f"mixing.{name}": torch.full_like(tensors[f"mixing.{name}"], torch.nan)},
        {**tensors, f"mixing.{name}": tensors[f"mixing.{name}"][:0]},
        {key: part for key, part in tensors.items() if key != f"mixing.{name}"},
    )
    for serving in broken:
        bundle = Bundle({"serving": serving, "learning": {}}, {}, mixing_meta(mixing))
        with pytest.raises(ValueError, match=name):
            mixing_from(bundle, ("own",))


@pytest.mark.parametrize("missing", ["hour", "step"])
def test_one_that_was_told_less_is_deaf_to_the_rest_and_knows_what_it_knew(missing: str) -> None:
    """One that does not say what it was told was told nothing of the hour."""
    mixing = Mixing.initial(("own", NETWORK), seed=3)
    mixing = replace(mixing, mixer=replace(mixing.mixer, weights=mixing.mixer.weights + 0.1))
    features = names(mixing.sources)
    place, told = features.index(missing), [name for name in features if name != missing]
    known = np.random.default_rng(0).random((9, len(features))).astype(np.float32)
    known[:, place] = 0.0
    more = known.copy()
    more[:, place] = 1.0
    for named in (True, False) if missing == "hour" else (True,):
        found = any_mixing_from(as_told(_bundle(mixing), told, named=named))
        assert found is not None
        assert found.experts == mixing.experts
        assert np.allclose(found.scores(known), mixing.scores(known))
        assert np.array_equal(found.scores(more), found.scores(known))
        taught = found.mixer.trained([Lesson(np.diag(more[0])[[place, 0]], np.array([0]))], seed=0)
        assert float(taught.weights[place]) > 0.0, "it learns to hear it"


def test_the_order_in_which_it_was_told_does_not_matter() -> None:
    mixing = Mixing.initial(("own", NETWORK), seed=3)
    found = any_mixing_from(as_told(_bundle(mixing), names(mixing.sources)[::-1], named=True))
    assert found is not None
    assert torch.equal(found.mixer.weights, mixing.mixer.weights)


def test_of_what_is_told_no_more_nothing_stays() -> None:
    mixing = Mixing.initial(("own", NETWORK))
    bundle = _bundle(mixing)
    features = [f"{name} of old" for name in names(mixing.sources)]
    bundle.meta["mixing"]["features"] = features
    found = any_mixing_from(bundle)
    assert found is not None
    assert not found.scores(np.ones((3, len(features)), dtype=np.float32)).any()
