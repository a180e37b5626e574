"""What freshness is worth: quality against how often memory and weights are told what happened.

The made-up streams of `domains`, Recall@20 over three periods of 1,600 events. The memory is told
of each period at its end, in 10 or in 50 stretches, or after every event, while weights and mixer
learn once in a period: the whole mixture, and transitions alone. Weights learn once, 10 or 50 times
in a period: the network alone. Ratios are to once in a period.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch

from benchmarks.domains import DOMAINS, recall, stream
from benchmarks.figures import Figure
from models.evaluation.arm import ArmSetup
from models.evaluation.learning import Learner
from models.evaluation.mixture import Mixture, SourceAlone
from models.evaluation.periods import EVERY

STRETCHES = {1: "at its end", 10: "10 times", 50: "50 times", EVERY: "after every event"}
UPDATES = (1, 10, 50)
REFERENCE = "once in a period"


def run() -> Iterator[Figure]:
    """Domain by domain."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for domain in DOMAINS:
            yield from _of_memory(domain, "mixture", Mixture)
            yield from _of_memory(domain, "rules", partial(SourceAlone, "rules"))
            yield from _of_weights(domain)
    finally:
        torch.set_num_threads(threads)


def _of_memory(domain: str, name: str, arm: Callable[[ArmSetup], object]) -> Iterator[Figure]:
    found = {
        number: recall(stream(DOMAINS[domain], number), arm, updates=1) for number in STRETCHES
    }
    for number, said in STRETCHES.items():
        ratio = None if number == 1 else found[number] / found[1]
        name_of = f"{domain}, {name}: memory {said}"
        yield Figure(name_of, found[number], "recall", ratio, REFERENCE if ratio else "")


def _of_weights(domain: str) -> Iterator[Figure]:
    asked = stream(DOMAINS[domain], max(UPDATES))
    found = {updates: recall(asked, Learner, updates=updates) for updates in UPDATES}
    for updates in UPDATES:
        ratio = None if updates == 1 else found[updates] / found[1]
        name_of = f"{domain}, network: weights {updates} times"
        yield Figure(name_of, found[updates], "recall", ratio, REFERENCE if ratio else "")
