"""An evaluation at work: arm by arm and seed by seed, saying on stderr how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from models.content.features import Content
from models.evaluation.arm import ArmSetup
from models.evaluation.arms import named
from models.evaluation.learning import frequent_types
from models.evaluation.noise import Noise, noisy
from models.evaluation.protocol import ArmRun, Evaluation, evaluate
from models.evaluation.questions import Asked
from models.evaluation.report import headline, report
from models.evaluation.stream import Stream
from service.cli.figures import short
from service.cli.runs import RunFiles, circumstances
from service.cli.runtime import EXIT_INTERRUPTED
from service.errors import BadRequest
from service.learner.device import device_of
from service.settings import Settings

HEADED = ("multi-task", "soft-sharing")
"""Arms that differ from `network` by heads of event types alone."""


def device_for(settings: Settings) -> str:
    """Where the arms compute, as the learner would.

    Raises:
        BadRequest: CUDA is asked for and there is none.
    """
    device = device_of(settings)
    if device == "cuda" and not torch.cuda.is_available():
        raise BadRequest(
            "evaluate: FRESHET_DEVICE is cuda, and torch finds none here; auto takes what there is"
        )
    return device


class Measuring:
    """The runs of all arms that were asked for.

    Args:
        stream: what is asked.
        settings: hyperparameters and device.
        protocol: the reading of the lines on stderr and of the figures.
        asked: what the command was asked for, as `run` in the document.
        resume: where finished runs are kept, if anywhere.
        contents: what items say of themselves, by id.
    """

    def __init__(
        self,
        stream: Stream,
        settings: Settings,
        protocol: str,
        asked: Mapping[str, Any],
        resume: Path | None,
        contents: Mapping[str, Content] | None = None,
    ) -> None:
        self._contents = contents or {}
        self._stream, self._settings, self._protocol = stream, settings, protocol
        self._asked, self._resume = asked, resume
        self._stderr = Console(stderr=True)
        self._kept = 0

    def figures(self) -> dict[str, Any]:
        """Run everything; the figures as JSON values.

        Raises:
            typer.Exit: Ctrl-C; by then it is said what is kept.
        """
        torch.set_num_threads(self._asked["threads"])
        self._say_what_is_the_same()
        started = time.perf_counter()
        try:
            figures = report(self._runs(), self._protocol, against=self._asked["against"])
        except KeyboardInterrupt:
            typer.echo(f"interrupted: {self._left()}", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        return figures | {"wall_s": time.perf_counter() - started}

    def _runs(self) -> list[Evaluation]:
        """Seed by seed, under a bar for each arm."""
        columns = (TextColumn("{task.description:18}"), BarColumn())
        doing = TextColumn("{task.fields[doing]}")
        with Progress(
            *columns,
            doing,
            TimeElapsedColumn(),
            console=self._stderr,
            transient=True,
            disable=not self._stderr.is_terminal,
        ) as bars:
            tasks = {
                name: bars.add_task(name, total=self._asked["seeds"], doing="")
                for name in self._asked["arms"]
            }

            def move(arm: str, doing: str, completed: float) -> None:
                bars.update(tasks[arm], completed=completed, doing=doing)

            return [self._seed(number, move) for number in range(self._asked["seeds"])]

    def _seed(self, number: int, move: Callable[[str, str, float], None]) -> Evaluation:
        """All arms with the seed of this number; `move` is told arm, doing and runs done."""
        asked = self._asked
        setup = ArmSetup(
            config=self._settings.learning,
            seed=asked["seed"] + number,
            device=asked["device"],
            window=asked["window"],
            weights_windows=asked["weights_windows"],
            contents=self._contents,
            memory=self._settings.memory.config(),
            sources=self._settings.serving.sources,
        )
        return evaluate(
            self._stream,
            named(asked["arms"]),
            setup,
            clock=time.perf_counter,
            stop_after=asked["stop_after"],
            share=asked["share"],
            share_seed=asked["seed"],
            store=self._store(setup),
            learned=self._learned(setup.seed),
            progress=lambda arm, doing, done: move(arm, doing, number + done),
            finished=self._say_finished,
        )

    def _learned(self, seed: int) -> Stream:
        """What the arms learn from: the stream itself, or one spoilt by this seed."""
        noise = self._asked["noise"]
        return self._stream if noise is None else noisy(self._stream, Noise.parse(noise), seed)

    def _store(self, setup: ArmSetup) -> KeptRuns | None:
        """Where finished runs of just these circumstances are kept."""
        if self._resume is None:
            return None
        files = RunFiles(self._resume, circumstances(self._stream, setup, self._asked))
        return KeptRuns(files, self._count)

    def _count(self) -> None:
        self._kept += 1

    def _left(self) -> str:
        """What an interrupted evaluation leaves."""
        if self._resume is None:
            return "nothing is kept; --resume DIR keeps the arms that are done"
        runs = len(self._asked["arms"]) * self._asked["seeds"]
        what = "arms" if self._asked["seeds"] == 1 else "arms and seeds"
        return f"{self._kept} of {runs} {what} are kept in {self._resume}"

    def _say_finished(self, run: ArmRun, asked: Sequence[Asked]) -> None:
        """A line for each run that is over, where no bar shows it."""
        if self._stderr.is_terminal:
            return
        name = run.name if self._asked["seeds"] == 1 else f"{run.name}, seed {run.seed}"
        if run.error is not None:
            typer.echo(f"{name}: failed", err=True)
            return
        seconds = run.fit_s + sum(run.update_s) + sum(run.answer_s) + sum(run.probe_s)
        recall = headline(run, asked, self._protocol)
        typer.echo(f"{name}: Recall@20 {short(recall)}, {seconds:.0f} s", err=True)

    def _say_what_is_the_same(self) -> None:
        same = [name for name in self._asked["arms"] if name in HEADED]
        if same and not self._settings.learning.type_heads:
            if not frequent_types(self._stream.slice(0)):
                equal = "equals" if len(same) == 1 else "equal"
                typer.echo(
                    f"{' and '.join(same)} {equal} network here: no event types to tell apart",
                    err=True,
                )


class KeptRuns:
    """Runs on disk; one that cannot be written is said, and the evaluation goes on.

    Args:
        files: where they are.
        count: called for each run that is there, found or written.
    """

    def __init__(self, files: RunFiles, count: Callable[[], None]) -> None:
        self._files, self._count = files, count

    def find(self, name: str, seed: int) -> ArmRun | None:
        """As `RunFiles.find`."""
        run = self._files.find(name, seed)
        if run is not None:
            self._count()
        return run

    def keep(self, run: ArmRun) -> None:
        """As `RunFiles.keep`, but for what the disk refuses."""
        try:
            self._files.keep(run)
        except OSError as error:
            typer.echo(f"{run.name} could not be kept: {error}", err=True)
        else:
            self._count()
