"""How firmly item vectors are known, by the Fisher that methods against forgetting keep."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from models.continual.method import Method
from models.nets import Recommender
from models.parameters import grown


def vector_precision(methods: Iterable[Method], net: Recommender, examples: float) -> Tensor | None:
    """The posterior precision that examples gave each item's vector, n · λF̄_i · |row_i|², [N].

    λF is what a method that keeps a Fisher pulls a row's weights by, F̄ its mean over a row. The
    Fisher of online EWC is a sum over windows, faded, of means over a window's examples; times the
    examples of a window it is what all of them told. Where rows are scored by their direction, a
    move counts by the row's length.

    Args:
        net: whose items they are.
        examples: n, of a window in the mean.

    Returns:
        float32; None where no method keeps a Fisher, or none that counts.
    """
    start = net.snapshot()
    pulls = [method.pulls(start).get("items") for method in methods if method.needs_fisher]
    told = [pull.importance.mean(dim=1) * pull.strength for pull in pulls if pull and pull.strength]
    if not told:
        return None
    total = torch.zeros(len(net.items))
    for known in told:
        total += grown(known, len(total))
    if net.normalize:
        total *= net.items.rows.square().sum(dim=1)
    return total * examples
