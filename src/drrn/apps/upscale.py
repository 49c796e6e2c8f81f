"""`drrn upscale`."""

import os
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from drrn.apps.show import Show
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
from drrn.apps.words import parse_duration
from drrn.errors import UsageError
from drrn.weights import AUTO

if TYPE_CHECKING:
    from drrn.upscaling.batch.folders import Source


def upscale(
    pictures: Positional[tuple[Path, ...]],
    /,
    *,
    result: Annotated[ResultOptions, OmitArgPrefixes],
    sizes: Annotated[SizeOptions, OmitArgPrefixes],
    network: Annotated[ModelOptions, OmitArgPrefixes],
    many_pictures: Annotated[FolderOptions, OmitArgPrefixes],
    checks: Annotated[CheckOptions, OmitArgPrefixes],
    video: Annotated[VideoOptions, OmitArgPrefixes],
    geotiff: Annotated[GeoTIFFOptions, OmitArgPrefixes],
    machine: Annotated[MachineOptions, OmitArgPrefixes],
    json: bool = False,
    quiet: Annotated[bool, arg(aliases=["-q"])] = False,
) -> int:
    """Enlarge pictures: photo.png becomes photo_x2.png.

    PNG, JPEG, WebP and TIFF, of 8 or 16 bits, keep their format, alpha, color profile and EXIF. BMP and PNM are read
    and written, AVIF and single GIF are read; animated GIF, PNG and WebP stay animated. Anything that must be converted
    is reported (docs/formats.md). Videos keep their sound and subtitles (drrn[video], docs/video.md). GeoTIFF keeps its
    place, and is not for survey (drrn[geo], docs/geotiff.md). DICOM stays DICOM, and is not for diagnosis (drrn[dicom],
    docs/dicom.md).

    Args:
        pictures: Picture files, or folders of them; - is stdin.
        json: Print a line of JSON for each picture, and for folders a last one with totals.
        quiet: Print only what failed and what must be known.
    """
    from drrn.engines.engine import cores
    from drrn.engines.selection import pick
    from drrn.errors import printable
    from drrn.upscaling.batch.choosing import BUDGET
    from drrn.upscaling.batch.folders import arrivals, find_sources, is_folder
    from drrn.upscaling.batch.jobs import make_folder, plan, work_through
    from drrn.upscaling.batch.manifest import open_manifest
    from drrn.upscaling.batch.naming import Naming, parse_size
    from drrn.upscaling.batch.pipes import PIPE, with_pipes_as_files
    from drrn.upscaling.consistency import Checks
    from drrn.upscaling.formats.job import Options
    from drrn.upscaling.formats.raster import RASTER
    from drrn.upscaling.formats.registry import format_of
    from drrn.upscaling.formats.video import VIDEO
    from drrn.upscaling.upscaler import Upscaler
    from drrn.weights.store import load
    from drrn.weights.store import names as packaged

    output, watch, jobs, estimate = result.output, many_pictures.watch, many_pictures.jobs, machine.estimate
    folders = any(map(is_folder, pictures))
    many = folders or len(pictures) > 1
    if not pictures:
        raise UsageError("No pictures given. Try: drrn upscale photo.png")
    if many and PIPE in (*pictures, output):
        raise UsageError("- stands for one picture. For several, name files or folders, and a folder as --output.")
    if many and output is not None and os.path.lexists(output) and not is_folder(output):
        raise UsageError(f"{printable(output)} can't be made a folder: there is a file of that name.")
    if json and output == PIPE:
        raise UsageError("--json and a picture can't both go to stdout. Leave out one of them.")
    if output == PIPE and (checks.disagreement or checks.check_map):
        raise UsageError("A map is written beside the picture, and stdout has no place for it. Give --output a file.")
    naming = Naming(result.name, result.format)
    if PIPE in (*pictures, output) and naming != Naming():
        raise UsageError("--name and --format are those of files, and - is none. Leave them out.")
    if quiet and (json or estimate):
        raise UsageError("--quiet prints nothing, and --json and --estimate are there to print. Leave out one of them.")
    if watch and (estimate or not folders):
        raise UsageError("--watch waits for what arrives in a folder. Name one, and leave out --estimate.")
    seconds = (parse_duration(network.budget) if network.budget else BUDGET) if network.model == AUTO else None
    look = partial(find_sources, pictures, output, recursive=many_pictures.recursive)
    found = look()
    if not watch and not found.sources and len(pictures) == 1:
        raise found.failed[0][1]
    kinds = [format_of(source.path) for source in found.sources if source.path != PIPE]
    films = VIDEO in kinds
    if video != VideoOptions() and not films and not watch:
        raise UsageError("--codec, --crf and --drop-track are those of films, and there is none. Leave them out.")
    if geotiff != GeoTIFFOptions() and RASTER not in kinds and not watch:
        raise UsageError("--block and --overviews are those of GeoTIFF, and there is none. Leave them out.")
    wanted = parse_size(sizes.size) if sizes.size is not None else None
    asked = Checks(checks.disagreement, checks.check or checks.check_map, checks.check_map)
    options = Options(
        asked,
        budget=seconds,
        quality=result.quality,
        lossless=result.lossless,
        codec=video.codec,
        crf=video.crf,
        drop_track=video.drop_track,
        block=geotiff.block,
        overviews=geotiff.overviews,
    )
    one = partial(
        plan,
        scale=sizes.scale,
        size=wanted,
        many=many,
        naming=naming,
        max_pixels=machine.max_pixels,
        strict=checks.strict,
        options=options,
    )
    models = [load(each) for each in (packaged() if network.model == AUTO else [network.model])]
    ready = partial(
        Upscaler,
        engine=machine.engine,
        device=machine.device,
        units=network.units,
        threads=machine.threads or (max(cores() // jobs, 1) if jobs > 1 else 0),
        precision=machine.precision,
        compiled=machine.compile,
        max_memory=machine.max_memory << 20,
        ensemble=network.ensemble,
    )

    def make() -> list[Upscaler]:
        return [ready(each) for each in models]

    with ExitStack() as stack:
        kept, names = None, {}
        batches: Iterable[list[Source]] = [found.sources]
        if folders and output is not None:
            if not estimate:
                make_folder(output)
            kept = stack.enter_context(open_manifest(output, writes=not estimate))
        elif PIPE in (*pictures, output):
            ends = stack.enter_context(with_pipes_as_files(found.sources[0], machine.max_pixels))
            names = {at: at.stem for at, given in zip(ends, found.sources[0], strict=True) if at and given == PIPE}
            batches = [[ends]]
        if watch:
            batches = arrivals(lambda: look().sources)
        why = pick(machine.device)[1] if machine.engine == "auto" else ""
        show = stack.enter_context(Show(why, names, ready, many=many, endless=watch, as_json=json, quiet=quiet))
        for path, error in [] if watch else found.failed:
            show.failed(path, error)
        show.unreadable(found.unreadable)
        try:
            work_through(
                batches, one, make, show, overwrite=result.overwrite, at_once=jobs, manifest=kept, estimate=estimate
            )
        except (KeyboardInterrupt, SystemExit):
            if (folders or films) and not watch and not estimate:
                print("stopped; the same command goes on", file=sys.stderr)
            raise
        return show.end(found.skipped, totals=folders, estimate=estimate)
