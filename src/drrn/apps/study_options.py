"""The options of `drrn study run`: a dataclass per group, with the rules that apply within it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from drrn.errors import UsageError, printable
from drrn.study.experiments import BudgetName


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """Images: what experiments learn from and are tested on."""

    data: tuple[Path, ...]
    """Folders of original pictures to train on; a tenth of them is held out for validation."""
    test: tuple[Path, ...] = ()
    """Folders of pictures to test on; the first decides claims. By default, the held-out pictures."""
    backbone: tuple[Path, ...] = ()
    """A VGG, for your own experiments with the losses vgg or lpips, as in `drrn train`."""


@dataclass(frozen=True, kw_only=True)
class ExtentOptions:
    """Study: its size and its results."""

    budget: BudgetName = "standard"
    """The size of the study: quick (half an hour on two cores), standard (hours on a CPU), wide (the same at twice the
    width) or full (the report's sizes, for a GPU).
    """
    seeds: int = 3
    """How often to run each experiment, each time with other initial weights and another split."""
    part: Annotated[str, arg(metavar="I/N")] = "1/1"
    """Run one of N parts, as 2/5, for job arrays: parts share --output, or `drrn study merge` combines theirs."""
    output: Path | None = None
    """Folder for runs and results; by default study/ and the budget's name."""

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise UsageError(f"--seeds must be at least 1, got {self.seeds}.")
        parse_part(self.part)


@dataclass(frozen=True, kw_only=True)
class StudyMachineOptions:
    """Machine: where experiments run."""

    jobs: int = 0
    """Experiments to run at the same time; 0 for as many as fit the cores, or one on an accelerator."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "cpu"
    """Where to compute."""
    threads: int = 1
    """CPU threads per experiment. The same number gives the same weights."""

    def __post_init__(self) -> None:
        if self.jobs < 0 or self.threads < 1:
            raise UsageError("--threads must be at least 1, and --jobs at least 0.")


def parse_part(text: str) -> tuple[int, int]:
    """A part's number, from 1, and the number of parts: (2, 5) for 2/5. Raises UsageError: it is something else."""
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise UsageError(f"--part must be written as 2/5, the second of five parts, got {printable(text)}.")
    return int(number), int(count)
