"""What happens in a worker process: pictures are probed, planned, enlarged, and looked at.

Everything here is `drrn.upscaling`'s: its limits before anything is decoded, its estimates, its names and sentences.
"""

import logging
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from functools import cache
from hashlib import file_digest
from math import isfinite
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from zlib import crc32

from drrn.errors import DRRNError, UsageError, printable
from drrn.serving.config import KindName, Recipe, ServeConfig

Answer = tuple[Literal["progress", "done", "refused", "canceled", "crashed"], Any]
LOG: Final = logging.getLogger("drrn.serving")
TOLD_SECONDS: Final = 0.2
"""Between two messages of progress."""
MARGIN: Final = 768 << 20
"""Bytes that a process may take beyond the memory of an enlargement: decoders, views, threads."""
MAX_CROP: Final = 2_000_000
"""Pixels of a preview or a view."""
CHUNK: Final = 1 << 20


class Task(NamedTuple):
    """Something to do, by the name of a method of `Studio`."""

    name: Literal["plan", "enlarge", "preview", "view", "forget"]
    arguments: dict[str, Any]


class CanceledTask(BaseException):
    """Raised in the midst of a task that nobody wants any more."""


def run_tasks(connection: Connection, config: ServeConfig) -> None:
    """Do what comes through the connection until its other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the service ends its processes itself
    os.umask(0o077)
    try:
        studio = Studio(config)
        limit_memory(config.max_memory + MARGIN)
        connection.send(("done", studio.about()))
        while True:
            task = connection.recv()
            if task is not None:  # a cancellation that came too late
                connection.send(_done(studio, task, connection))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        sys.exit(0)
    except DRRNError as error:
        connection.send(("refused", (type(error).__name__, str(error))))


def limit_memory(beyond: int) -> None:
    """Let this process take so many bytes more than it has, where the system can hold it to that."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        held = next(
            int(line.split()[1]) << 10
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith("VmData")
        )
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (held + beyond, hard))


class Studio:
    """Models that are ready, and the pictures that were looked at last."""

    def __init__(self, config: ServeConfig):
        from drrn.upscaling.upscaler import Upscaler
        from drrn.weights.store import load

        self.config = config
        self.tell: Callable[[float], None] = lambda share: None
        weights = {name: load(name) for name in config.models}

        @cache
        def ready(name: str, units: int | None = None) -> Upscaler:
            return Upscaler(weights[name], units=units, threads=config.threads, max_memory=config.max_memory)

        self.ready = ready
        for name in config.models:
            ready(name).speed()
        self._seen: dict[Path, Any] = {}

    def about(self) -> dict[str, Any]:
        """The models, for people to choose from."""
        models = []
        for name in self.config.models:
            upscaler = self.ready(name)
            weights = upscaler.weights
            models.append(
                {
                    "name": name,
                    "scales": [1 if weights.stepped else weights.all_scales[0], weights.all_scales[-1]],
                    "units": list(weights.units),
                    "engine": upscaler.engine.name,
                    "megapixels_per_second": float(f"{upscaler.speed() / 1e6:.3g}"),
                }
            )
        return {"models": models}

    def plan(self, source: Path, recipe: Recipe) -> dict[str, Any]:
        """What the picture is, what it will become, by which model and why, and what that will cost.

        Raises:
            DRRNError: the picture can't be read, or what is asked for can't be done.
        """
        job, choice = self._planned(source, recipe, source.parent)
        header, cost = job.header, choice.cost
        return {
            "kind": kind_name(job.format),
            "format": header.format,
            "source_width": header.width,
            "source_height": header.height,
            "frames": header.frames,
            "width": job.width,
            "height": job.height,
            "name": self._result_name(source, recipe, job),
            "model": choice.upscaler.weights.name,
            "why": _why(choice, recipe, job),
            "seconds": float(f"{cost.seconds:.3g}"),
            "memory": cost.memory,
            "changes": list(job.format.changes(job)),
            "warning": job.format.warning,
            "can_preview": kind_name(job.format) == "image",
        }

    def enlarge(self, source: Path, recipe: Recipe, folder: Path) -> dict[str, Any]:
        """Make the file `folder/result.*`, and say what it is.

        Raises:
            DRRNError: as `plan`, or the picture is damaged, or the disk is full. There is no file then.
        """
        from drrn.upscaling.formats.job import Hooks

        job, choice = self._planned(source, recipe, folder)
        found: Any
        if recipe.metadata == "drop":
            found = self._enlarge_bare(job, choice.upscaler)
        else:
            found = job.format.enlarge(job, choice.upscaler, Hooks(progress=self.tell))
        with job.target.open("rb") as file:
            sha256 = file_digest(file, "sha256").hexdigest()
            file.seek(0)
            check, size = 0, 0
            while piece := file.read(CHUNK):
                check, size = crc32(piece, check), size + len(piece)
        return {
            "file": job.target.name,
            "bytes": size,
            "sha256": sha256,
            "crc32": check,
            "model": choice.upscaler.weights.name,
            "check": _check(found),
        }

    def preview(
        self, source: Path, recipe: Recipe, crop: tuple[int, int, int, int], side: Literal["before", "after"]
    ) -> bytes:
        """A PNG of `crop`, (left, top, width, height) of the result, as the whole result has it; or by bicubic.

        Raises:
            DRRNError: as `plan`; or the crop lies outside of the result or is too large, or this is no single picture.
        """
        from drrn.upscaling.place import enlarge_place

        job, choice = self._planned(source, recipe, source.parent)
        if kind_name(job.format) != "image":
            raise UsageError("A preview is made of single pictures, not of animations, videos, rasters or DICOM.")
        place = _place(crop, job.width, job.height)
        samples, notes = self._samples(source)
        if side == "before":
            return _png(_resized(samples, place, (job.height, job.width)), notes)
        enlarged = enlarge_place(choice.upscaler, samples, place, (job.height, job.width), choice.cost.tile)
        return _png(enlarged, notes)

    def view(
        self,
        path: Path,
        region: tuple[int, int, int, int] | None,
        size: tuple[int, int] | None,
        width: int | None,
    ) -> bytes:
        """A PNG of what `region`, (left, top, width, height), of a picture looks like, `width` pixels wide.

        Args:
            path: a picture that can be read, or a result.
            region: in pixels of `size`; all of it where it is None.
            size: (width, height) that the picture is enlarged to by bicubic; its own where it is None.
            width: that of the region where it is None; as much as is allowed, at most.

        Raises:
            DRRNError: it can't be read, or the region lies outside.
        """
        samples, notes = self._samples(path)
        wide, high = size or (samples.shape[1], samples.shape[0])
        left, top, across, down = region or (0, 0, wide, high)
        _inside((left, top, across, down), wide, high)
        most = min(across, int((MAX_CROP * across / down) ** 0.5)) or 1
        factor = min(width or across, most) / across
        target = max(round(high * factor), 1), max(round(wide * factor), 1)
        place = _scaled(top, down, high, target[0]), _scaled(left, across, wide, target[1])
        return _png(_resized(samples, place, target), notes)

    def forget(self) -> None:
        """Let go of pictures whose files are gone."""
        for path in [path for path in self._seen if not path.exists()]:
            self._seen.pop(path)[0].__exit__(None, None, None)

    def _planned(self, source: Path, recipe: Recipe, folder: Path) -> Any:
        """The job and the choice of a model."""
        from drrn.upscaling.batch.choosing import BUDGET, Choice, choose
        from drrn.upscaling.batch.naming import parse_size
        from drrn.upscaling.batch.planning import Request, plan
        from drrn.upscaling.consistency import Checks
        from drrn.upscaling.formats.job import Options
        from drrn.upscaling.formats.registry import format_of

        try:
            kind = format_of(source)
            name = kind_name(kind)
            if name not in self.config.kinds:
                raise KindError(f"This is {KINDS[name]}, which this service does not take (drrn serve --kinds).")
            header = kind.probe(source, max_pixels=self.config.max_pixels)
            suffix = kind.suffix(Path(recipe.name or "picture"), header)
            target = folder / f"result{suffix if recipe.format == 'keep' else f'.{recipe.format}'}"
            automatic = recipe.model == "auto"
            options = Options(
                Checks(check=recipe.check),
                budget=BUDGET if automatic else None,
                quality=recipe.quality,
                lossless=recipe.lossless,
            )
            request = Request(
                recipe.scale,
                parse_size(recipe.size) if recipe.size else None,
                max_pixels=self.config.max_pixels,
                overwrite=True,
                options=options,
            )
            job = plan(source, target, request)
            if recipe.metadata == "drop" and name != "image":
                raise UsageError("metadata=drop is for single pictures. Leave it out.")
            upscalers = [self.ready(each) for each in self.config.models]
            choice = choose(job, upscalers if automatic else [self.ready(recipe.model, recipe.units)])
            if recipe.metadata == "drop":
                cost = choice.upscaler.estimate(
                    header.width, header.height, size=(job.width, job.height), alpha=header.alpha
                )
                choice = Choice(choice.index, choice.upscaler, cost, choice.budget)
            return job, choice
        except DRRNError as error:
            raise type(error)(told(error, source, folder, recipe.name)) from error

    def _enlarge_bare(self, job: Any, upscaler: Any) -> Any:
        """A picture without its EXIF, XMP and texts. Its colors are kept, and so ICC, color tags and dpi."""
        from drrn.media.images.files import read, wanted_format, write
        from drrn.media.metadata.metadata import Extras
        from drrn.upscaling.consistency import enlarge

        picture = read(job.source, max_pixels=job.header.decoded)
        extras = Extras(aspect=picture.extras.aspect, color_tags=picture.extras.color_tags)
        picture = replace(picture, exif=None, xmp=None, extras=extras)
        result, found = enlarge(upscaler, picture, (job.width, job.height), job.options.checks, self.tell)
        write(result, job.target, loss=job.loss(wanted_format(job.target)), overwrite=True)
        return found

    def _result_name(self, source: Path, recipe: Recipe, job: Any) -> str:
        """What the command line would call the result of a file of the client's name."""
        from drrn.media.naming import split
        from drrn.upscaling.batch.naming import Naming

        name = Path(recipe.name or "picture")
        stem, suffix = split(name.name)[0], job.format.suffix(name, job.header)
        naming = Naming(suffix=None if recipe.format == "keep" else recipe.format)
        factor = f"{job.width / job.header.width:.4g}" if recipe.size else f"{recipe.scale or 2:g}"
        return naming.name(stem, suffix, factor, (job.width, job.height), exact=bool(recipe.size))

    def _samples(self, path: Path) -> Any:
        """(samples, notes) of a picture, which stay there for the next look at it."""
        from drrn.media.images.files import decode_to_disk

        if path not in self._seen:
            while len(self._seen) >= 4:
                oldest = next(iter(self._seen))
                self._seen.pop(oldest)[0].__exit__(None, None, None)
            opened = decode_to_disk(path, path, max_pixels=self.config.max_pixels)
            self._seen[path] = opened, opened.__enter__()
        samples, _, notes = self._seen[path][1]
        return samples, notes


class KindError(UsageError):
    """Files of this kind are not taken."""


KINDS: Final[dict[KindName, str]] = {
    "image": "a single picture",
    "animation": "an animation",
    "video": "a video",
    "raster": "a GeoTIFF",
    "dicom": "a DICOM file",
}


def kind_name(of: Any) -> KindName:
    """What clients call the files of a `drrn.upscaling.formats.job.Format`."""
    from drrn.upscaling.formats import animation, dicom, raster, video

    names: list[tuple[Any, KindName]] = [
        (animation.ANIMATION, "animation"),
        (dicom.DICOM, "dicom"),
        (raster.RASTER, "raster"),
        (video.VIDEO, "video"),
    ]
    return next((name for each, name in names if each is of), "image")


def told(error: DRRNError, source: Path, folder: Path, name: str) -> str:
    """The sentence, on one line, about the file by the name that the client knows."""
    text, name = " ".join(str(error).split()), printable(name) or "the picture"
    place, separator = re.escape(printable(folder)), re.escape(os.sep)
    text = re.sub(rf"{place}{separator}result(\.\w+)?", lambda found: name, text)
    text = text.replace(printable(source), name).replace(printable(folder), "the service's disk")
    return text.replace("Make room, or give another --output.", "Try a smaller scale, or again later.")


def _done(studio: Studio, task: Task, connection: Connection) -> Answer:
    last = time.monotonic()

    def tell(share: float) -> None:
        nonlocal last
        if connection.poll() and connection.recv() is None:
            raise CanceledTask
        if time.monotonic() - last > TOLD_SECONDS:
            last = time.monotonic()
            connection.send(("progress", share))

    studio.tell = tell
    try:
        return "done", getattr(studio, task.name)(**task.arguments)
    except CanceledTask:
        return "canceled", ""
    except DRRNError as error:
        recipe = task.arguments.get("recipe", Recipe())
        source = task.arguments.get("source") or task.arguments.get("path", Path())
        folder = task.arguments.get("folder", source.parent)
        return "refused", (type(error).__name__, told(error, source, folder, recipe.name))
    except MemoryError:
        return "refused", ("UsageError", "It needs more memory than this service may take. Give a smaller scale.")
    except (BrokenPipeError, EOFError):
        raise
    except Exception as error:  # a bug: where it is goes to the log, what it is about does not
        where = " < ".join(
            f"{each.name} ({Path(each.filename).name}:{each.lineno})"
            for each in reversed(traceback.extract_tb(error.__traceback__))
        )
        LOG.error("a bug, %s in %s", type(error).__name__, where)
        return "crashed", "drrn met a fault of its own. The service's log says where; please report it."


def _why(choice: Any, recipe: Recipe, job: Any) -> str:
    from drrn.upscaling.batch.choosing import outside_training

    untrained = str(outside_training(job, choice.upscaler.weights))
    if choice.budget is None:
        return untrained
    if choice.within_budget:
        why = f"the best that takes at most {choice.budget:g} seconds"
    else:
        why = f"the fastest, as none takes at most {choice.budget:g} seconds"
    return f"{why}; {untrained}" if untrained else why


def _check(found: Any) -> dict[str, Any] | None:
    """JSON has no infinity: null is the PSNR of what is the same."""
    if not (found.check and found.bicubic):
        return None
    ours, bicubic = (
        {"psnr": round(each.psnr, 2) if isfinite(each.psnr) else None, "largest": each.largest}
        for each in (found.check, found.bicubic)
    )
    return ours | {"bicubic": bicubic}


def _inside(region: tuple[int, int, int, int], width: int, height: int) -> None:
    left, top, across, down = region
    if left + across > width or top + down > height:
        raise UsageError(f"{across}x{down}+{left}+{top} lies outside of the {width}x{height} pixels of the result.")


def _place(crop: tuple[int, int, int, int], width: int, height: int) -> tuple[slice, slice]:
    _inside(crop, width, height)
    left, top, across, down = crop
    if across * down > MAX_CROP:
        raise UsageError(f"A preview has at most {MAX_CROP:,} pixels, got {across}x{down}.")
    return slice(top, top + down), slice(left, left + across)


def _scaled(first: int, length: int, whole: int, target: int) -> slice:
    """Where a stretch of `whole` lies where that becomes `target`: not empty."""
    start = min(round(first * target / whole), target - 1)
    return slice(start, min(max(start + round(length * target / whole), start + 1), target))


def _resized(samples: Any, place: tuple[slice, slice], size: tuple[int, int]) -> Any:
    """`place` of the samples resized to `size` (height, width), band by band: memory follows the place."""
    import numpy as np

    from drrn.core.color import levels
    from drrn.core.resize import imresize_place, source_of

    whole, top = (samples.shape[0], samples.shape[1]), 255 if samples.dtype.itemsize == 1 else 65535
    rows, columns = place
    result = np.empty((rows.stop - rows.start, columns.stop - columns.start, samples.shape[2]), np.uint8)
    step = max(64 * size[0] // whole[0], 1)
    for first in range(rows.start, rows.stop, step):
        band = slice(first, min(first + step, rows.stop)), columns
        down, across = source_of(band, whole, size)
        part = np.divide(samples[down][:, across].transpose(2, 0, 1), np.float32(top), dtype=np.float32)
        larger = levels(imresize_place(part, band, whole, size))
        result[first - rows.start : band[0].stop - rows.start] = larger.transpose(1, 2, 0)
    return result


def _png(samples: Any, notes: Any) -> bytes:
    """With the ICC profile, so that colors are those of the picture, and with nothing else of its metadata."""
    from drrn.media.image import Image
    from drrn.media.images.files import to_png

    return to_png(replace(Image.from_array(samples), icc=notes.icc))


def recipe_json(recipe: Recipe) -> dict[str, Any]:
    """All of a recipe, for the id of a job."""
    return asdict(recipe)
