"""The events that a batch reports."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from drrn.errors import DRRNError
from drrn.upscaling.batch.choosing import Choice
from drrn.upscaling.consistency import CheckResult
from drrn.upscaling.formats.job import Job


class Planned(NamedTuple):
    """These jobs are to be done."""

    jobs: Sequence[Job]


class Unchanged(NamedTuple):
    """The result of the job exists and is up to date."""

    job: Job


class Started(NamedTuple):
    """The file of the job has been read, and will be enlarged by the chosen model."""

    job: Job
    choice: Choice


class Advanced(NamedTuple):
    """Progress of a job."""

    job: Job
    share: float
    """The share that is done, in [0, 1]."""


class Done(NamedTuple):
    """A job has been completed."""

    job: Job
    choice: Choice
    seconds: float | None
    """The time it took; None if only its cost was estimated."""
    result: CheckResult


class Failed(NamedTuple):
    """A file could not be enlarged."""

    source: Path
    error: DRRNError


BatchEvent = Planned | Unchanged | Started | Advanced | Done | Failed
"""`Started` and `Advanced` come from several threads when several files run at once."""
