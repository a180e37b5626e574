"""Benchmarks: seeded scenarios with permanent ids.

A benchmark is a module of this package with a function `run() -> Iterable[Figure]`; its id is the
module's name and never changes its meaning. Each measures a reference in the same run and gives
its figures as ratios to it, for absolute figures drift from machine to machine.

    python -m benchmarks            all of them (`make bench`)
    python -m benchmarks --list     their ids
    python -m benchmarks ID …       some of them
"""
