"""The options of `drrn bulk`: a dataclass per group, with the rules that apply within it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from drrn.engines import EngineName, Precision
from drrn.errors import UsageError
from drrn.weights import AUTO, DEFAULT

if TYPE_CHECKING:
    from drrn.bulk.task import Machine


@dataclass(frozen=True, kw_only=True)
class BulkModelOptions:
    """Model: which network enlarges."""

    model: Annotated[str, arg(aliases=["-m"], metavar="MODEL")] = DEFAULT
    """A packaged model (`drrn models list`) or a weights file."""
    units: int | None = None
    """Residual units to run, for models trained with several: fewer are faster."""
    ensemble: bool = False
    """Average the results for the eight flips and rotations of each picture: slightly better, in eight times the time.
    """

    def __post_init__(self) -> None:
        if self.model == AUTO:
            raise UsageError("auto may choose different models on different machines. Name a model.")


@dataclass(frozen=True, kw_only=True)
class BulkResultOptions:
    """Results: their names, formats and quality."""

    format: Annotated[str | None, arg(metavar="FORMAT")] = None
    """Format of the results, given as a suffix: webp, png, tif, mkv. By default, the source's format."""
    name: Annotated[str | None, arg(metavar="PATTERN")] = None
    """Name of the results, without suffix, as in `drrn upscale`. By default {stem}_x{scale}."""
    quality: int | None = None
    """Quality of JPEG and WebP, 1 to 100. By default, the source's quality."""
    lossless: bool = False
    """Write lossless WebP, and refuse JPEG."""
    overwrite: bool = False
    """Replace existing files."""


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Sources: which files are refused."""

    strict: bool = False
    """Refuse files that violate their format, even if no pixel depends on it."""
    max_pixels: int = 100_000_000
    """Most pixels of a picture, read or written."""


@dataclass(frozen=True, kw_only=True)
class PartOptions:
    """Parts: how the work is divided."""

    part_files: int = 100
    """Most files in a part."""
    part_megapixels: int = 200
    """A part is also full when its files have this many million pixels: a few minutes of work."""
    by_bytes: bool = False
    """Estimate the pixels of a file from its size instead of reading its header: for buckets of many millions, where
    every header is a request, but one request lists a thousand files.
    """

    def __post_init__(self) -> None:
        if self.part_files < 1 or self.part_megapixels < 1:
            raise UsageError("--part-files and --part-megapixels must be at least 1.")


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Run: which parts, and where."""

    part: int | None = None
    """Run a single part, counted from 0: for job arrays, as --part $SLURM_ARRAY_TASK_ID."""
    parts_per_task: int = 1
    """With --part, run this many parts: with 5, task 2 runs parts 10 to 14."""
    jobs: Annotated[int | None, arg(aliases=["-j"])] = None
    """Parts to run at the same time, each in a process. 1 by default."""
    on: Literal["here", "ray"] = "here"
    """Where to run: on this machine, or, with a task for each part, in the Ray cluster of `ray job submit` or `ray
    start` (drrn[ray]).
    """
    workers: tuple[int, int] | None = None
    """With --on ray: how many parts the cluster must have room for within ten minutes, and how many run at the same
    time. By default 1, and as many as fit.
    """
    retry: bool = False
    """Try failed files again."""

    def __post_init__(self) -> None:
        if (self.jobs is not None and self.jobs < 1) or self.parts_per_task < 1:
            raise UsageError("--jobs and --parts-per-task must be at least 1.")
        if self.workers and not 1 <= self.workers[0] <= self.workers[1]:
            least, most = self.workers
            raise UsageError(f"--workers takes a minimum of at least 1 and a maximum, got {least} {most}.")
        if self.on == "ray" and (self.part is not None or self.jobs is not None):
            raise UsageError("--on ray distributes all parts itself: leave out --part and --jobs, and see --workers.")
        if self.on == "here" and self.workers:
            raise UsageError("--workers only works with --on ray. Use --jobs on a single machine.")


@dataclass(frozen=True, kw_only=True)
class BulkMachineOptions:
    """Machine: time and memory."""

    max_memory: int = 2048
    """MB that each part may take."""
    device: Annotated[str, arg(metavar="DEVICE")] = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    engine: EngineName = "auto"
    """The implementation, as in `drrn upscale`."""
    threads: int = 0
    """CPU threads of each part, 0 to share the cores among the jobs. With --on ray the CPUs of a task, 0 for one."""
    precision: Precision = "float32"
    """Arithmetic of the torch engine."""
    compile: bool = False
    """Let torch compile the network first."""
    same_bytes: bool = False
    """Refuse to run if this machine rounds differently from the first one that ran a part."""

    def machine(self, jobs: int) -> "Machine":
        """The settings of each process.

        Args:
            jobs: processes at the same time, which share the cores.
        """
        from drrn.bulk.task import Machine
        from drrn.engines.engine import cores

        return Machine(
            device=self.device,
            engine=self.engine,
            threads=self.threads or (max(cores() // jobs, 1) if jobs > 1 else 0),
            precision=self.precision,
            compiled=self.compile,
            max_memory=self.max_memory,
            same_bytes=self.same_bytes,
        )
