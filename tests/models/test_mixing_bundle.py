"""A mixing in the files of a version."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from models.mixing.blend import NETWORK
from models.mixing.bundle import mixing_from, mixing_meta, mixing_tensors
from models.mixing.mixing import Mixing
from models.parameters import Bundle
from models.sources import SOURCES


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
