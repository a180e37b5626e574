"""Runs the benchmarks and prints their figures; see the package's docstring."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
import time
from collections.abc import Callable, Iterable

import benchmarks
from benchmarks.figures import Figure
from service.cli.runtime import prepare_process

Benchmark = Callable[[], Iterable[Figure]]


def found() -> list[str]:
    """The ids of all benchmarks, sorted."""
    names = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return sorted(name for name in names if name not in ("__main__", "client", "figures"))


def load(name: str) -> Benchmark:
    """The benchmark of an id.

    Raises:
        LookupError: there is no such benchmark, or the module has no `run`.
    """
    if name not in found():
        raise LookupError(f"no benchmark {name!r}; there are {', '.join(found())}")
    run: Benchmark | None = getattr(importlib.import_module(f"benchmarks.{name}"), "run", None)
    if run is None:
        raise LookupError(f"benchmarks/{name}.py has no run()")
    return run


def main(arguments: list[str] | None = None) -> int:
    """Run the named benchmarks, or all; 1 when one of them failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("ids", nargs="*", metavar="ID")
    parser.add_argument("--list", action="store_true", help="print the ids and end")
    options = parser.parse_args(arguments)
    if options.list:
        _say("\n".join(found()))
        return 0
    prepare_process()
    failed = [name for name in options.ids or found() if not _run(name)]
    if failed:
        _say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def _run(name: str) -> bool:
    began_s = time.perf_counter()
    _say(f"\n{name}")
    try:
        for figure in load(name)():
            _say(f"  {figure}")
    except Exception as error:  # one that fails must not cost us the others
        _say(f"  failed: {type(error).__name__}: {error}")
        return False
    _say(f"  ({time.perf_counter() - began_s:.1f} s)")
    return True


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
