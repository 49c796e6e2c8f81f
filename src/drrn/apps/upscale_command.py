"""A `drrn upscale` command line: its options together, the rules between them, and what they ask of the library."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from drrn.apps.upscale_options import (
    CheckOptions,
    FolderOptions,
    GeoTIFFOptions,
    MachineOptions,
    ModelOptions,
    ResultOptions,
    SizeOptions,
    VideoOptions,
)
from drrn.apps.upscale_progress import UpscaleProgress
from drrn.apps.words import parse_duration
from drrn.errors import UsageError, printable
from drrn.weights import AUTO, DEFAULT, PHOTO

if TYPE_CHECKING:
    from drrn.upscaling.batch.folders import SourceFile, SourceFiles
    from drrn.upscaling.batch.manifest import Manifest
    from drrn.upscaling.batch.planning import Request
    from drrn.upscaling.formats.job import Format
    from drrn.upscaling.upscaler import Upscaler


@dataclass
class Destination:
    """Where results go, open for as long as the command runs."""

    batches: "Iterable[Iterable[SourceFile]]"
    """The sources, with files in place of pipes; for a watched folder, one batch after another without end."""
    manifest: "Manifest | None" = None
    """Of the output folder, if folders are enlarged."""
    names: dict[Path, str] = field(default_factory=dict)
    """What files that stand for pipes are called in messages."""


@dataclass(frozen=True, kw_only=True)
class UpscaleCommand:
    """The command line of `drrn upscale`."""

    pictures: tuple[Path, ...]
    result: ResultOptions
    sizes: SizeOptions
    network: ModelOptions
    folder: FolderOptions
    checks: CheckOptions
    video: VideoOptions
    geotiff: GeoTIFFOptions
    machine: MachineOptions
    json: bool
    quiet: bool

    def __post_init__(self) -> None:
        """Check the rules between options of several groups.

        Raises:
            UsageError: some of them do not go together.
        """
        from drrn.upscaling.batch.folders import is_folder

        result, output = self.result, self.result.output
        if not self.pictures:
            raise UsageError("No pictures given. Try: drrn upscale photo.png")
        if self.many and self.pipes:
            raise UsageError(
                "- works for one picture only. For several, name files or folders, and a folder as --output."
            )
        if self.many and output is not None and os.path.lexists(output) and not is_folder(output):
            raise UsageError(f"{printable(output)} can't be made a folder: there is a file of that name.")
        if self.json and self.to_stdout:
            raise UsageError("--json and a picture can't both go to stdout. Leave out one of them.")
        if self.to_stdout and (self.checks.disagreement or self.checks.check_map):
            raise UsageError("Maps are written next to the picture, which stdout can't hold. Give --output a file.")
        if self.pipes and (result.name is not None or result.format is not None):
            raise UsageError("--name and --format do not work with -: a pipe has no file name. Leave them out.")
        if self.quiet and (self.json or self.machine.estimate):
            raise UsageError("--quiet prints no results, but --json and --estimate do. Leave out one of them.")
        if self.folder.watch and (self.machine.estimate or not self.folders):
            raise UsageError("--watch needs a folder to watch, and does not work with --estimate.")

    @cached_property
    def folders(self) -> bool:
        from drrn.upscaling.batch.folders import is_folder

        return any(map(is_folder, self.pictures))

    @cached_property
    def many(self) -> bool:
        return self.folders or len(self.pictures) > 1

    @property
    def pipes(self) -> bool:
        """Whether the picture comes from stdin or goes to stdout."""
        from drrn.upscaling.batch.pipes import PIPE

        return PIPE in (*self.pictures, self.result.output)

    @property
    def to_stdout(self) -> bool:
        from drrn.upscaling.batch.pipes import PIPE

        return self.result.output == PIPE

    def find_sources(self) -> "SourceFiles":
        """The files to enlarge.

        Raises:
            DRRNError: the only path that was named has none, or options are for files that are not among them.
        """
        from drrn.upscaling.formats.raster import RASTER
        from drrn.upscaling.formats.video import VIDEO

        sources = self._look()
        if self.folder.watch:
            return sources
        if not sources.sources and len(self.pictures) == 1:
            raise sources.failed[0][1]
        if self.video != VideoOptions() and VIDEO not in self._formats(sources):
            raise UsageError("--codec, --crf and --drop-track are for videos, and there are none. Leave them out.")
        if self.geotiff != GeoTIFFOptions() and RASTER not in self._formats(sources):
            raise UsageError("--block and --overviews are for GeoTIFF, and there is none. Leave them out.")
        return sources

    def request(self) -> "Request":
        """What is wanted of every file."""
        from drrn.upscaling.batch.choosing import BUDGET
        from drrn.upscaling.batch.naming import Naming, parse_size
        from drrn.upscaling.batch.planning import Request
        from drrn.upscaling.consistency import Checks
        from drrn.upscaling.formats.job import Options

        budget = parse_duration(self.network.budget) if self.network.budget else BUDGET
        check_map = self.checks.check_map
        return Request(
            scale=self.sizes.scale,
            size=None if self.sizes.size is None else parse_size(self.sizes.size),
            many=self.many,
            naming=Naming(self.result.name, self.result.format),
            max_pixels=self.machine.max_pixels,
            overwrite=self.result.overwrite,
            strict=self.checks.strict,
            options=Options(
                Checks(self.checks.disagreement, self.checks.check or check_map, check_map),
                budget=budget if self.network.model == AUTO else None,
                quality=self.result.quality,
                lossless=self.result.lossless,
                codec=self.video.codec,
                crf=self.video.crf,
                drop_track=self.video.drop_track,
                block=self.geotiff.block,
                overviews=self.geotiff.overviews,
            ),
        )

    def make_upscalers(self) -> "Callable[[], list[Upscaler]]":
        """A function that makes an upscaler of each model there is to choose from."""
        from drrn.weights.store import load, names

        named = self.network.model
        models = list(map(load, [DEFAULT, PHOTO] if named is None else names() if named == AUTO else [named]))
        make = self._make_upscaler()
        return lambda: [make(model) for model in models]

    @contextmanager
    def open_destination(self, sources: "SourceFiles") -> Iterator[Destination]:
        """Where results go. A result for stdout is written there when the block ends."""
        from drrn.upscaling.batch.folders import arrivals
        from drrn.upscaling.batch.jobs import make_folder
        from drrn.upscaling.batch.manifest import open_manifest
        from drrn.upscaling.batch.pipes import PIPE, with_pipes_as_files

        output, estimate = self.result.output, self.machine.estimate
        batches = arrivals(lambda: self._look().sources) if self.folder.watch else [sources.sources]
        if self.folders and output is not None:
            if not estimate:
                make_folder(output)
            with open_manifest(output, writes=not estimate) as manifest:
                yield Destination(batches, manifest)
        elif self.pipes:
            (named,) = sources.sources
            with with_pipes_as_files(named, self.machine.max_pixels) as source:
                names = {path: path.stem for path, end in zip(source, named, strict=True) if path and end == PIPE}
                yield Destination([[source]], names=names)
        else:
            yield Destination(batches)

    def open_progress(self, names: dict[Path, str]) -> UpscaleProgress:
        """What prints progress and results."""
        from drrn.engines.selection import pick

        reason = pick(self.machine.device)[1] if self.machine.engine == "auto" else ""
        return UpscaleProgress(
            reason,
            names,
            self._make_upscaler(),
            many=self.many,
            endless=self.folder.watch,
            as_json=self.json,
            quiet=self.quiet,
        )

    @contextmanager
    def resumable(self, sources: "SourceFiles") -> Iterator[None]:
        """Say, when a signal stops the block, that the same command continues, if it does."""
        from drrn.upscaling.formats.video import VIDEO

        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            continues = self.folders or VIDEO in self._formats(sources)
            if continues and not self.folder.watch and not self.machine.estimate:
                print("stopped; the same command continues", file=sys.stderr)
            raise

    def _look(self) -> "SourceFiles":
        from drrn.upscaling.batch.folders import find_sources

        return find_sources(self.pictures, self.result.output, recursive=self.folder.recursive)

    def _formats(self, sources: "SourceFiles") -> "list[Format]":
        from drrn.upscaling.batch.pipes import PIPE
        from drrn.upscaling.formats.registry import format_of

        return [format_of(source.path) for source in sources.sources if source.path != PIPE]

    def _make_upscaler(self) -> "Callable[..., Upscaler]":
        from drrn.engines.engine import cores
        from drrn.upscaling.upscaler import Upscaler

        jobs = self.folder.jobs
        return partial(
            Upscaler,
            engine=self.machine.engine,
            device=self.machine.device,
            units=self.network.units,
            threads=self.machine.threads or (max(cores() // jobs, 1) if jobs > 1 else 0),
            precision=self.machine.precision,
            compiled=self.machine.compile,
            max_memory=self.machine.max_memory << 20,
            ensemble=self.network.ensemble,
        )
