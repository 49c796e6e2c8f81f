"""`drrn upscale`."""

from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from drrn.apps.upscale_command import UpscaleCommand
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
    is reported (docs/reference/formats.md). Videos keep their sound and subtitles (drrn[video], docs/how-to/video.md).
    GeoTIFF keeps its georeference; it is not for survey (drrn[geo], docs/how-to/geotiff.md). DICOM stays DICOM; it
    is not for diagnosis (drrn[dicom], docs/how-to/dicom.md).

    Args:
        pictures: Picture files, or folders of them. - is stdin.
        json: Print a line of JSON for each picture, and for folders a final one with totals.
        quiet: Print only failures and warnings.
    """
    from drrn.upscaling.batch.jobs import Batch

    command = UpscaleCommand(
        pictures=pictures,
        result=result,
        sizes=sizes,
        network=network,
        folder=many_pictures,
        checks=checks,
        video=video,
        geotiff=geotiff,
        machine=machine,
        json=json,
        quiet=quiet,
    )
    sources = command.find_sources()
    request, make_upscalers = command.request(), command.make_upscalers()
    with command.open_destination(sources) as destination, command.open_progress(destination.names) as progress:
        progress.found(sources)
        batch = Batch(request, make_upscalers, progress, many_pictures.jobs, destination.manifest, machine.estimate)
        with command.resumable(sources):
            batch.run(destination.batches)
        return progress.end(sources.skipped, totals=command.folders, estimate=machine.estimate)
