"""GeoTIFF and other rasters of measurements, from file to file, whatever memory the whole would take."""

from pathlib import Path
from typing import Any, Final

from drrn.atomic import atomic
from drrn.errors import ImageError, printable
from drrn.media import Block
from drrn.media.geotiff import files as geotiff
from drrn.media.geotiff.layout import is_raster
from drrn.media.header import Header
from drrn.upscaling.consistency import CheckResult
from drrn.upscaling.cost import Estimate
from drrn.upscaling.formats.job import Format, Hooks, Job, keep_suffix
from drrn.upscaling.formats.raster_values import measure_ranges
from drrn.upscaling.formats.raster_windows import Windows
from drrn.upscaling.upscaler import Upscaler


def _suffix(source: Path, header: Header, name: str) -> str:
    return keep_suffix(name, geotiff.SUFFIXES)


def _check_writable(job: Job, path: Path) -> None:
    geotiff.check_writable(path)


def _changes(job: Job) -> tuple[str, ...]:
    return job.header.converted


def _estimate(job: Job, upscaler: Upscaler) -> Estimate:
    with geotiff.open_raster(job.source, max_pixels=job.header.pixels) as raster:
        return Windows(upscaler, raster, job.width, job.height, _block(job)).estimate()


def _enlarge(job: Job, upscaler: Upscaler, hooks: Hooks) -> CheckResult:
    with geotiff.open_raster(job.source, max_pixels=job.header.pixels) as raster:
        if (raster.width, raster.height, raster.bands) != (job.header.width, job.header.height, job.header.channels):
            raise ImageError(f"{printable(job.source)} has changed since it was opened. Run it again.")
        windows = Windows(upscaler, raster, job.width, job.height, _block(job))
        ranges = measure_ranges(raster, windows.part)  # a damaged file ends here
        hooks.start()
        with atomic(job.target, overwrite=job.overwrite) as temporary:
            options: dict[str, Any] = {"block": _block(job), "overviews": job.options.overviews}
            with geotiff.create_raster(
                raster, temporary, job.width, job.height, _provenance(job, upscaler), target=job.target, **options
            ) as writer:
                windows.enlarge(ranges, writer, hooks)
            hooks.written(job.target, temporary)
    return CheckResult()


def _block(job: Job) -> Block:
    return job.options.block or geotiff.BLOCK


def _provenance(job: Job, upscaler: Upscaler) -> str:
    derivation = job.derivation(upscaler)
    return (
        f"drrn {derivation.version}, model {derivation.model}, {job.header.width}x{job.header.height} to "
        f"{job.width}x{job.height}; finer detail is an estimate, not for survey"
    )


RASTER: Final = Format(
    recognizes=is_raster,
    collects=is_raster,
    probe=geotiff.probe,
    suffix=_suffix,
    check_writable=_check_writable,
    changes=_changes,
    estimate=_estimate,
    enlarge=_enlarge,
    warning="Finer detail in enlarged rasters is an estimate, and not for survey.",
)
