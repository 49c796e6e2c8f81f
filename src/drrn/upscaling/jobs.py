"""Files in, larger files out: what is to be done is checked before anything is begun."""

from dataclasses import dataclass
from pathlib import Path

from drrn.errors import UsageError
from drrn.media.files import MAX_PIXELS, probe, writable
from drrn.media.opening import Header
from drrn.upscaling.upscaler import Estimate, Size, Upscaler, target_size


@dataclass(frozen=True)
class Job:
    """A picture file and the file it becomes."""

    source: Path
    target: Path
    header: Header
    width: int
    """Of the result, in pixels, as the next."""
    height: int

    def estimate(self, upscaler: Upscaler) -> Estimate:
        """What it will cost. Raises UsageError where it does not fit into the upscaler's memory."""
        size = (self.width, self.height)
        return upscaler.estimate(self.header.width, self.header.height, size=size, alpha=self.header.alpha)


def plan(
    source: Path,
    output: Path | None,
    scale: float | None,
    size: Size | None,
    *,
    many: bool,
    max_pixels: int = MAX_PIXELS,
    overwrite: bool = False,
) -> Job:
    """What is to be done with one file.

    Args:
        output: the file to write where it has a picture's suffix and there are not `many`, else the folder to write to.
            None writes beside the source, `photo.png` to `photo_x2.png` or `photo_1920x1080.png`.
        max_pixels: of the source and of the result.

    Raises:
        PictureError: the source can't be read, or the target can't be written.
        UsageError: scale or size is out of range, or the source would overwrite itself.
    """
    header = probe(source, max_pixels=max_pixels)
    width, height = target_size(header.width, header.height, scale, size)
    if width * height > max_pixels:
        raise UsageError(
            f"{source} would become {width}x{height}, more than {max_pixels} pixels. Give a smaller scale, or a larger "
            "--max-pixels."
        )
    if output is not None and output.suffix and not many and not output.is_dir():
        target = output
        if not target.parent.is_dir():  # found out now, and not after the work
            raise UsageError(f"{target} can't be written: there is no folder {target.parent}.")
    else:
        mark = f"{width}x{height}" if size is not None else f"x{scale or 2:g}"
        target = (output or source.parent) / f"{source.stem}_{mark}{source.suffix}"
    if target.exists() and target.samefile(source):
        raise UsageError(f"{source} would be overwritten by its own enlargement. Give another --output.")
    writable(target, width, height, alpha=header.alpha, overwrite=overwrite)
    return Job(source, target, header, width, height)
