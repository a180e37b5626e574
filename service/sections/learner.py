"""Settings of the learner: its windows, its process, and what it does about drift."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from service.sections.section import Section


class WindowSettings(Section):
    """When the learner cuts a window."""

    max_events: int = Field(2_000, ge=1, description="cut after so many events …")
    max_age_s: float = Field(30.0, gt=0, description="… or when the oldest is so old")


class LearnerSettings(Section):
    """How the learner's process runs; what it learns is in `learning`."""

    threads: int = Field(
        1,
        ge=0,
        description="torch threads of the learner, 0: one per core; at the size of the default"
        " model one is the fastest, and leaves the other cores to serving",
    )
    poll_s: float = Field(
        0.25, gt=0, description="how often the learner looks at the log and at the jobs"
    )
    keep_versions: int = Field(
        5, ge=1, description="latest activated versions whose checkpoints stay for a rollback …"
    )
    keep_hours: int = Field(
        24, ge=0, description="… beside the latest version of each of so many hours …"
    )
    keep_days: int = Field(7, ge=0, description="… and of each of so many days")
    max_attempts: int = Field(
        10, ge=1, description="a window that so many learners died in is refused"
    )
    start_from: Path | None = Field(
        None,
        description="directory of a checkpoint that the first version is made of, while nothing is"
        " learned yet; its encoder, dimension and heads must be those asked for",
    )
    full_nice: int = Field(
        10, ge=0, le=19, description="niceness of the process that trains a full retrain"
    )


class DriftSettings(Section):
    """What is done when the model becomes worse on what comes; without a detector, nothing."""

    detector: Literal["none", "adwin", "page-hinkley"] = Field(
        "none",
        description="what watches the prequential recall of the windows for a fall; one costs the"
        " learner some 90 MB and, once, seconds",
    )
    adwin_delta: float = Field(
        0.002, gt=0, lt=1, description="δ of `adwin`: larger is quicker and more often wrong"
    )
    tolerance: float = Field(
        0.01, ge=0, le=1, description="of `page-hinkley`: a fall of recall that is nothing"
    )
    threshold: float = Field(
        0.5,
        gt=0,
        description="of `page-hinkley`: falls beyond the tolerance that, summed over windows, raise"
        " the alarm; smaller is quicker and more often wrong",
    )
    min_windows: int = Field(
        10, ge=1, description="of `page-hinkley`: windows that are seen before it may alarm"
    )
    memory: int = Field(
        500, ge=20, le=10_000, description="latest windows, at most, that a detector looks back on"
    )
    windows: int = Field(10, ge=0, description="windows after an alarm that answer it with …")
    interval_factor: float = Field(
        1.0, gt=0, le=1, description="… the update interval, events and age, times this, and …"
    )
    learning_rate_factor: float = Field(
        1.0, gt=0, le=100, description="… the learning rate times this"
    )
