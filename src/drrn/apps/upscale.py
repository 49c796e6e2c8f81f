"""`drrn upscale`."""

import os
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, UseAppendAction, arg

from drrn.apps.show import Show
from drrn.apps.words import parse_duration
from drrn.engines import EngineName, Precision
from drrn.errors import UsageError
from drrn.media import Block, CodecName, Overviews
from drrn.weights import DEFAULT

if TYPE_CHECKING:
    from drrn.upscaling.batch.folders import Source
    from drrn.upscaling.upscaler import Size


def upscale(
    pictures: Positional[tuple[Path, ...]],
    /,
    *,
    output: Annotated[Path | None, arg(aliases=["-o"])] = None,
    scale: Annotated[float | None, arg(aliases=["-s"])] = None,
    size: str | None = None,
    model: Annotated[str, arg(aliases=["-m"])] = DEFAULT,
    budget: str | None = None,
    units: int | None = None,
    quality: int | None = None,
    lossless: bool = False,
    codec: CodecName | None = None,
    crf: int | None = None,
    drop_track: Annotated[tuple[int, ...], UseAppendAction] = (),
    block: Block | None = None,
    overviews: Overviews = "keep",
    overwrite: bool = False,
    strict: bool = False,
    estimate: bool = False,
    max_memory: int = 2048,
    max_pixels: int = 100_000_000,
    device: str = "auto",
    engine: EngineName = "auto",
    threads: int = 0,
    precision: Precision = "float32",
    compile: bool = False,
    json: bool = False,
    recursive: Annotated[bool, arg(aliases=["-r"])] = False,
    watch: bool = False,
    jobs: Annotated[int, arg(aliases=["-j"])] = 1,
    ensemble: bool = False,
    disagreement: bool = False,
    check: bool = False,
    check_map: bool = False,
) -> int:
    """Enlarge pictures: photo.png becomes photo_x2.png.

    PNG, JPEG, WebP and TIFF, of 8 or 16 bit, with alpha, colour profile and EXIF, stay what they are. BMP and PNM are
    read and written, AVIF and GIFs that don't move read; animated GIF, PNG and WebP stay animated. What is converted is
    said (docs/formats.md). DICOM becomes DICOM, by drrn[dicom], and not for diagnosis; GeoTIFF and other rasters of
    measurements stay what and where they are, by drrn[geo], and not for survey (docs/geotiff.md); films become films,
    by drrn[video], their sound and subtitles copied (docs/video.md).

    Args:
        pictures: Picture files, or folders of them; - is stdin.
        output: A file, or for several pictures a folder; - is stdout. Beside each picture where none is given. For
            folders it must be another folder, where a second run does only what is missing or stale.
        scale: How many times larger, above 1 and at most 8. 2 where no size is given either.
        size: How large instead, in pixels: 1920x1080, 1920x or x1080.
        model: A packaged model (`drrn models list`) or a weights file; or auto, for each picture the best packaged one
            that is expected to be done within the --budget, and the fastest where none is.
        budget: How long each picture may take with auto: 90, 30s, 2m or 1.5h. 30s where none is given.
        units: Residual units to run, for models trained with several: fewer are faster.
        quality: Of JPEG and WebP, 1 to 100. Where nothing is said, a JPEG from a JPEG has the source's, from 80 to 95,
            with its chroma subsampling; any other JPEG 95, a lossy WebP 90.
        lossless: Write WebP without loss, also from a lossy one, and refuse JPEG. PNG, TIFF and the like always are.
        codec: Of films: h264, where nothing is said and the file is no .webm; hevc; av1; ffv1, which loses nothing.
        crf: Of films: how much is lost, 0 least; 17 of h264, 18 of hevc and 20 of av1 where nothing is said.
        drop_track: Of films: the number of a sound, subtitle or data track to leave out; repeat it for several.
        block: Of GeoTIFF: pixels a side of its tiles, 256 where nothing is said.
        overviews: Of GeoTIFF: keep gives it smaller versions of itself where the source has some, make makes halves
            down to 256 pixels, none makes none.
        overwrite: Replace files that exist.
        strict: Refuse files that break the rules of their format, even where no pixel depends on it, as photos of some
            phones do; without it they are read, and what was tolerated is said.
        estimate: Say what it would cost in time and memory, and stop there.
        max_memory: MB that an enlargement may take; it goes in smaller tiles, to the same result.
        max_pixels: Largest picture to read or to make.
        device: auto, cpu, cuda, cuda:1, mps.
        engine: What computes. auto is torch where --device names an accelerator, else native, the compiled engine;
            where that was not compiled, reference, the same in NumPy.
        threads: CPU threads, 0 for all cores.
        precision: Arithmetic of the torch engine.
        compile: Let torch compile the network first: for many pictures.
        json: Print a line of JSON for each picture, and for folders a last one with totals.
        recursive: Take the pictures in a folder's folders too.
        watch: Stay, and enlarge what arrives in the folders, until a signal ends it.
        jobs: Pictures that are enlarged at the same time, as far as --max-memory is enough for all of them.
        ensemble: Average what the network makes of the picture in its eight flips and turns: a little better, in eight
            times the time.
        disagreement: Write how far these eight are apart, as photo_x2_disagreement.png: their standard deviation, black
            where there is none, white from 5 levels of 255. Not how far from the truth; and without --ensemble the
            result stays as it is, in eight times the time.
        check: Make the result smaller again, by bicubic, and say how far it is from the picture; beside it, how far a
            bicubic enlargement is.
        check_map: Write that as photo_x2_check.png too: the largest difference of a channel, black where there is none,
            white from 5 levels of 255.
    """
    from drrn.engines.engine import cores
    from drrn.engines.selection import pick
    from drrn.errors import shown
    from drrn.upscaling.batch.choosing import AUTO, BUDGET
    from drrn.upscaling.batch.folders import arrivals, gather, is_folder
    from drrn.upscaling.batch.jobs import make_folder, plan, work_through
    from drrn.upscaling.batch.manifest import manifest
    from drrn.upscaling.batch.pipes import PIPE, piped
    from drrn.upscaling.consistency import Asked
    from drrn.upscaling.formats.job import Options
    from drrn.upscaling.formats.raster import SCENES
    from drrn.upscaling.formats.registry import kind_of
    from drrn.upscaling.formats.video import FILMS
    from drrn.upscaling.upscaler import Upscaler
    from drrn.weights.store import load
    from drrn.weights.store import names as packaged

    folders = any(map(is_folder, pictures))
    many = folders or len(pictures) > 1
    if not pictures:
        raise UsageError("No pictures given. Try: drrn upscale photo.png")
    if many and PIPE in (*pictures, output):
        raise UsageError("- stands for one picture. For several, name files or folders, and a folder as --output.")
    if many and output is not None and os.path.lexists(output) and not is_folder(output):
        raise UsageError(f"{shown(output)} can't be made a folder: there is a file of that name.")
    if json and output == PIPE:
        raise UsageError("--json and a picture can't both go to stdout. Leave out one of them.")
    if output == PIPE and (disagreement or check_map):
        raise UsageError("A map is written beside the picture, and stdout has no place for it. Give --output a file.")
    if watch and (estimate or not folders):
        raise UsageError("--watch waits for what arrives in a folder. Name one, and leave out --estimate.")
    if quality is not None and (lossless or not 1 <= quality <= 100):
        raise UsageError(f"--quality is from 1 to 100, and goes without --lossless, got {quality}.")
    if jobs < 1:
        raise UsageError(f"At least 1 picture must be enlarged at a time, got --jobs {jobs}.")
    if budget is not None and model != AUTO:
        raise UsageError("A --budget is to choose a model within. Take --model auto with it.")
    if units is not None and model == AUTO:
        raise UsageError("--units are those of one model. Name it in place of auto.")
    seconds = (parse_duration(budget) if budget else BUDGET) if model == AUTO else None
    look = partial(gather, pictures, output, recursive=recursive)
    found = look()
    if not watch and not found.sources and len(pictures) == 1:
        raise found.failed[0][1]
    kinds = [kind_of(source.path) for source in found.sources if source.path != PIPE]
    films = FILMS in kinds
    if (codec, crf, drop_track) != (None, None, ()) and not films and not watch:
        raise UsageError("--codec, --crf and --drop-track are those of films, and there is none. Leave them out.")
    if (block, overviews) != (None, "keep") and SCENES not in kinds and not watch:
        raise UsageError("--block and --overviews are those of GeoTIFF, and there is none. Leave them out.")
    wanted = parse_size(size) if size is not None else None
    asked = Asked(disagreement, check or check_map, check_map)
    options = Options(
        asked,
        budget=seconds,
        quality=quality,
        lossless=lossless,
        codec=codec,
        crf=crf,
        drop_track=drop_track,
        block=block,
        overviews=overviews,
    )
    one = partial(plan, scale=scale, size=wanted, many=many, max_pixels=max_pixels, strict=strict, options=options)
    models = [load(each) for each in (packaged() if model == AUTO else [model])]
    ready = partial(
        Upscaler,
        engine=engine,
        device=device,
        units=units,
        threads=threads or (max(cores() // jobs, 1) if jobs > 1 else 0),
        precision=precision,
        compiled=compile,
        max_memory=max_memory << 20,
        ensemble=ensemble,
    )

    def make() -> list[Upscaler]:
        return [ready(each) for each in models]

    with ExitStack() as stack:
        kept, names = None, {}
        batches: Iterable[list[Source]] = [found.sources]
        if folders and output is not None:
            if not estimate:
                make_folder(output)
            kept = stack.enter_context(manifest(output, writes=not estimate))
        elif PIPE in (*pictures, output):
            ends = stack.enter_context(piped(found.sources[0], max_pixels))
            names = {at: at.stem for at, given in zip(ends, found.sources[0], strict=True) if at and given == PIPE}
            batches = [[ends]]
        if watch:
            batches = arrivals(lambda: look().sources)
        why = pick(device)[1] if engine == "auto" else ""
        show = stack.enter_context(Show(why, names, ready, many=many, endless=watch, as_json=json))
        for path, error in [] if watch else found.failed:
            show.failed(path, error)
        show.unreadable(found.unreadable)
        try:
            work_through(batches, one, make, show, overwrite=overwrite, at_once=jobs, manifest=kept, estimate=estimate)
        except (KeyboardInterrupt, SystemExit):
            if (folders or films) and not watch and not estimate:
                print("stopped; the same command goes on", file=sys.stderr)
            raise
        return show.end(found.skipped, totals=folders, estimate=estimate)


def parse_size(text: str) -> "Size":
    """1920x1080, 1920x or x1080 as (width, height), None for a side that is not given.

    Raises:
        UsageError: it is none of these.
    """
    width, cross, height = text.lower().partition("x")
    sides = [side for side in (width, height) if side]
    if not cross or not sides or not all(side.isascii() and side.isdigit() and int(side) for side in sides):
        raise UsageError(f"A size is written 1920x1080, 1920x or x1080, got {text!r}.")
    return int(width) if width else None, int(height) if height else None
