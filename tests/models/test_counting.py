"""Methods that remember how many updates there were: one place says how."""

from __future__ import annotations

import pytest
import torch

from models.config import LearningConfig
from models.continual.counting import Counting
from models.continual.fine_tuning import FineTuning
from models.continual.fisher import Fisher
from models.continual.progressive import Progressive
from models.continual.soft_sharing import SoftSharing
from models.continual.transfer import FeatureExtraction

KINDS: list[tuple[type[Counting], dict[str, float]]] = [
    (FeatureExtraction, {"after": 5}),
    (FineTuning, {"after": 5}),
    (Progressive, {"every": 7}),
    (SoftSharing, {"strength": 0.25}),
]


@pytest.mark.parametrize(("kind", "given"), KINDS)
def test_updates_are_counted_and_kept_and_parameters_are_the_settings(
    kind: type[Counting], given: dict[str, float]
) -> None:
    config = LearningConfig(methods=(kind.name,), parameters={kind.name: given})
    first = kind.initial(config)
    third = first.consolidate({}, Fisher()).consolidate({}, Fisher()).consolidate({}, Fisher())
    again = kind.initial(config).load(third.state_dict())

    assert (first.updates, third.updates, again.updates) == (0, 3, 3)
    assert third.state_dict() == {"updates": torch.tensor([3])}
    assert vars(again) == vars(third)
    assert vars(again.at(0)) == vars(first)
    assert not {"state_dict", "load", "consolidate"} & set(vars(kind)), "said once"
