"""The tasks of a worker process: plan, enlarge, preview and view pictures.

They call `drrn.upscaling`, and so have its limits before anything is decoded, its estimates, names and messages.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from hashlib import file_digest
from pathlib import Path
from typing import Any, Final, Literal

from drrn.errors import DRRNError, EngineError, UsageError
from drrn.serving.answers import check_to_json, client_message, why
from drrn.serving.config import ServeConfig
from drrn.serving.kinds import KINDS, KindError, kind_name
from drrn.serving.recipe import Recipe
from drrn.serving.views import Box, crop_place, region_place, resize_place, to_png

MAX_DECODED: Final = 4
"""Most pictures that stay decoded for the next view."""


class Tasks:
    """The tasks, with the loaded models and the pictures that were viewed last."""

    def __init__(self, config: ServeConfig):
        """Load the models, and measure their speed."""
        from drrn.upscaling.upscaler import Upscaler
        from drrn.weights.store import load

        self.config = config
        self.progress: Callable[[float], None] = lambda share: None
        """Called with the share of an enlargement that is done, 0 to 1. It may raise to cancel the enlargement."""
        weights = {name: load(name) for name in config.models}

        @cache
        def upscaler(name: str, units: int | None = None) -> Upscaler:
            return Upscaler(weights[name], units=units, threads=config.threads, max_memory=config.max_memory)

        self.upscaler = upscaler
        for name in config.models:
            upscaler(name).speed()
        self._decoded: dict[Path, Any] = {}

    def about(self) -> dict[str, Any]:
        """Describe the models that users can choose from."""
        models = []
        for name in self.config.models:
            upscaler = self.upscaler(name)
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
        """Describe the picture and its result: sizes, model and why it was chosen, time and memory.

        Raises:
            DRRNError: the picture can't be read, or the recipe is not possible for it.
        """
        job, choice = self._plan(source, recipe, source.parent)
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
            "why": why(choice, job),
            "seconds": float(f"{cost.seconds:.3g}"),
            "memory": cost.memory,
            "changes": list(job.format.changes(job)),
            "warning": job.format.warning,
            "can_preview": kind_name(job.format) == "image",
        }

    def enlarge(self, source: Path, recipe: Recipe, folder: Path) -> dict[str, Any]:
        """Write the result to `folder/result.*`, and describe it.

        Raises:
            DRRNError: as `plan`, or the picture is damaged, or the disk is full. No file is written then.
        """
        from drrn.upscaling.formats.job import Hooks

        job, choice = self._plan(source, recipe, folder)
        check: Any
        if recipe.metadata == "drop":
            check = self._enlarge_bare(job, choice.upscaler)
        else:
            check = job.format.enlarge(job, choice.upscaler, Hooks(progress=self.progress))
        with job.target.open("rb") as file:
            sha256, size = file_digest(file, "sha256").hexdigest(), file.tell()
        return {
            "file": job.target.name,
            "bytes": size,
            "sha256": sha256,
            "model": choice.upscaler.weights.name,
            "check": check_to_json(check),
        }

    def preview(self, source: Path, recipe: Recipe, crop: Box, side: Literal["before", "after"]) -> bytes:
        """Enlarge a part of a picture, to the same pixels that the whole result will have there.

        Args:
            crop: (left, top, width, height) in pixels of the result.
            side: after for the result; before for a bicubic enlargement.

        Returns:
            A PNG.

        Raises:
            DRRNError: as `plan`, or the crop is outside the result or too large, or the file is not a still image.
        """
        from drrn.upscaling.place import enlarge_place

        job, choice = self._plan(source, recipe, source.parent)
        if kind_name(job.format) != "image":
            raise UsageError("Only single pictures have a preview: no animations, videos, rasters or DICOM.")
        place = crop_place(crop, job.width, job.height)
        samples, metadata = self._decode(source)
        if side == "before":
            return to_png(resize_place(samples, place, (job.height, job.width)), metadata.icc)
        enlarged = enlarge_place(choice.upscaler, samples, place, (job.height, job.width), choice.cost.tile)
        return to_png(enlarged, metadata.icc)

    def view(
        self,
        path: Path,
        region: Box | None,
        size: tuple[int, int] | None,
        width: int | None,
    ) -> bytes:
        """Show a region of a picture or result.

        Args:
            path: the picture or result.
            region: (left, top, width, height) in pixels of `size`; None for all of it.
            size: (width, height) that the picture is resized to by bicubic; None for its own size.
            width: width of the PNG in pixels, reduced to what `MAX_CROP` allows; None for that of the region.

        Returns:
            A PNG.

        Raises:
            DRRNError: the picture can't be read, or the region is outside it.
        """
        samples, metadata = self._decode(path)
        whole = size or (samples.shape[1], samples.shape[0])
        place, target = region_place(region or (0, 0, *whole), whole, width)
        return to_png(resize_place(samples, place, target), metadata.icc)

    def forget(self) -> None:
        """Release decoded pictures whose files have been deleted."""
        for path in [path for path in self._decoded if not path.exists()]:
            self._decoded.pop(path)[0].__exit__(None, None, None)

    def _plan(self, source: Path, recipe: Recipe, folder: Path) -> Any:
        """The job, with its result in `folder`, and the chosen model.

        Raises:
            DRRNError: as `plan`, with the client's name for the file in its message.
        """
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
                raise KindError(f"This is {KINDS[name]}, which this service does not accept (drrn serve --kinds).")
            header = kind.probe(source, max_pixels=self.config.max_pixels)
            suffix = kind.suffix(source, header, recipe.name or "picture")
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
                raise UsageError("metadata=drop only works for single pictures. Leave it out.")
            upscalers = [self.upscaler(each) for each in self.config.models]
            choice = choose(job, upscalers if automatic else [self._named(recipe)])
            if recipe.metadata == "drop":
                cost = choice.upscaler.estimate(
                    header.width, header.height, size=(job.width, job.height), alpha=header.alpha
                )
                choice = Choice(choice.index, choice.upscaler, cost, choice.budget)
            return job, choice
        except DRRNError as error:
            raise type(error)(client_message(error, source, folder, recipe.name)) from error

    def _named(self, recipe: Recipe) -> Any:
        """The upscaler of the model that the recipe names. Raises UsageError: it can't run that many units."""
        try:
            return self.upscaler(recipe.model, recipe.units)
        except EngineError as error:
            raise UsageError(str(error)) from error

    def _enlarge_bare(self, job: Any, upscaler: Any) -> Any:
        """Enlarge a picture without its EXIF, XMP and text. ICC profile, color tags and dpi are kept.

        Returns:
            The result of the check.
        """
        from drrn.media.images.files import read, write
        from drrn.media.images.formats import wanted_format
        from drrn.media.metadata.metadata import Extras
        from drrn.upscaling.consistency import enlarge

        picture = read(job.source, max_pixels=job.header.decoded)
        extras = Extras(aspect=picture.extras.aspect, color_tags=picture.extras.color_tags)
        picture = replace(picture, exif=None, xmp=None, extras=extras)
        result, check = enlarge(upscaler, picture, (job.width, job.height), job.options.checks, self.progress)
        write(result, job.target, loss=job.loss(wanted_format(job.target)), overwrite=True)
        return check

    def _result_name(self, source: Path, recipe: Recipe, job: Any) -> str:
        """The name that the command line would give the result of a file with the client's name."""
        from drrn.media.naming import split
        from drrn.upscaling.batch.naming import Naming

        name = Path(recipe.name or "picture")
        stem, suffix = split(name.name)[0], job.format.suffix(source, job.header, name.name)
        naming = Naming(suffix=None if recipe.format == "keep" else recipe.format)
        factor = f"{job.width / job.header.width:.4g}" if recipe.size else f"{recipe.scale or 2:g}"
        return naming.name(stem, suffix, factor, (job.width, job.height), exact=bool(recipe.size))

    def _decode(self, path: Path) -> Any:
        """(samples, metadata) of a picture, kept in a scratch file for the next view."""
        from drrn.media.images.files import decode_to_disk

        if path not in self._decoded:
            while len(self._decoded) >= MAX_DECODED:
                oldest = next(iter(self._decoded))
                self._decoded.pop(oldest)[0].__exit__(None, None, None)
            opened = decode_to_disk(path, path, max_pixels=self.config.max_pixels)
            self._decoded[path] = opened, opened.__enter__()
        samples, _, metadata = self._decoded[path][1]
        return samples, metadata
