"""`drrn compare`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from drrn.errors import UsageError
from drrn.weights import DEFAULT

if TYPE_CHECKING:
    from drrn.evaluation.compare import Window
    from drrn.media.image import Image


def compare(
    originals: Positional[tuple[Path, ...]],
    /,
    *,
    output: Annotated[Path, arg(aliases=["-o"])],
    scale: Annotated[float, arg(aliases=["-s"])] = 3,
    models: Annotated[tuple[str, ...], arg(aliases=["-m", "--model"])] = (DEFAULT,),
    crop: tuple[str, ...] = (),
    overwrite: bool = False,
    device: str = "auto",
) -> int:
    """Make an original smaller, enlarge it again, and put lr, bicubic, drrn and original side by side.

    With several models lr is left out, and each has a column under its name. Several crops, or pictures, are rows.

    Args:
        originals: Pictures to be met again.
        output: The picture to write.
        scale: How much smaller, above 1 and at most 8.
        models: Packaged models or weights files.
        crop: The part to show, in pixels of the original: 160x120+200+40 is 160 wide, from column 200 and row 40. Any
            number of one picture; of several one each, in their order.
        overwrite: Replace the output where it exists.
        device: auto, cpu, cuda, mps.
    """
    from drrn.evaluation.compare import compare as versions
    from drrn.evaluation.naming import load_models
    from drrn.media.images.files import read, writable, write
    from drrn.media.sheet import sheet
    from drrn.upscaling.upscaler import Upscaler

    if not originals or not models:
        raise UsageError("No pictures or no models given. Try: drrn compare photo.png --output compared.png")
    writable(output, 1, 1, alpha=False, overwrite=overwrite)  # what can't be written is known before the work
    pictures = [read(path) for path in originals]
    windows = windows_of(pictures, crop)
    upscalers = [Upscaler(weights, device=device) for weights in load_models(models)]
    for upscaler in upscalers:
        if said := upscaler.weights.outside(scale):
            print(said, file=sys.stderr)
    one = len(models) == 1
    named = {"drrn" if one else upscaler.weights.name: upscaler for upscaler in upscalers}
    rows = []
    for original, picture, parts in zip(originals, pictures, windows, strict=True):
        found = versions(picture, named, scale, parts)
        rows += found if one else [row[1:] for row in found]
        print(f"{output if len(originals) == 1 else original}: {' | '.join(each.caption for each in rows[-1])}")
    channels = max(len(row[-1].planes) for row in rows)
    planes = [[each.planes.repeat(channels // len(each.planes), axis=0) for each in row] for row in rows]
    result = sheet(planes, [[each.caption for each in row] for row in rows])
    writable(output, result.width, result.height, alpha=False, overwrite=overwrite)
    write(result, output, overwrite=overwrite)
    return 0


def windows_of(pictures: "Sequence[Image]", crops: Sequence[str]) -> "list[list[Window]]":
    """The parts of each picture to show: all of it where there are no crops.

    Raises:
        UsageError: a crop is written wrongly or lies outside of its picture, or there are not as many as pictures.
    """
    if not crops:
        return [[(0, 0, picture.width, picture.height)] for picture in pictures]
    if len(pictures) > 1 and len(crops) != len(pictures):
        raise UsageError(f"{len(pictures)} pictures need as many crops, one each, or none; got {len(crops)}.")
    of_each = [crops] if len(pictures) == 1 else [[crop] for crop in crops]
    return [
        [parse_crop(crop, picture.width, picture.height) for crop in mine]
        for picture, mine in zip(pictures, of_each, strict=True)
    ]


def parse_crop(text: str, width: int, height: int) -> "Window":
    """160x120+200+40 as (left, top, width, height).

    Raises:
        UsageError: it is written otherwise, or lies outside of width x height.
    """
    numbers = text.replace("x", " ").replace("+", " ").split()
    if text.count("x") != 1 or text.count("+") != 2 or len(numbers) != 4 or not all(map(str.isdecimal, numbers)):
        raise UsageError(f"A crop is written 160x120+200+40, got {text!r}.")
    across, down, left, top = map(int, numbers)
    if not (across and down and left + across <= width and top + down <= height):
        raise UsageError(f"The crop {text} lies outside of the {width}x{height} picture.")
    return left, top, across, down
