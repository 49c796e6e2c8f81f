"""`drrn compare`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from drrn.errors import UsageError
from drrn.weights import DEFAULT

if TYPE_CHECKING:
    from drrn.evaluation.compare import Crop
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
    """Reduce an original, enlarge it again, and show lr, bicubic, drrn and the original side by side.

    With several models, each has a column, in place of lr. With several crops or pictures, each has a row.

    Args:
        originals: Pictures of full resolution.
        output: The picture to write.
        scale: The factor to reduce by, above 1 and at most 8.
        models: Packaged models or weights files.
        crop: The part to show, in pixels of the original: 160x120+200+40 is 160 wide and 120 high, from column 200 and
            row 40. For one picture any number of crops, for several one each, in order.
        overwrite: Replace an existing output.
        device: auto, cpu, cuda, mps.
    """
    from drrn.evaluation.compare import compare as versions
    from drrn.evaluation.naming import load_models
    from drrn.media.images.files import read, write
    from drrn.media.images.formats import writable
    from drrn.media.sheet import sheet
    from drrn.upscaling.upscaler import Upscaler

    if not originals or not models:
        raise UsageError("No pictures or no models given. Try: drrn compare photo.png --output compared.png")
    writable(output, 1, 1, alpha=False, overwrite=overwrite)  # fail before the work
    pictures = [read(path) for path in originals]
    windows = crops_of(pictures, crop)
    upscalers = [Upscaler(weights, device=device) for weights in load_models(models)]
    for upscaler in upscalers:
        if warning := upscaler.weights.outside(scale):
            print(warning, file=sys.stderr)
    is_single = len(models) == 1
    named = {"drrn" if is_single else upscaler.weights.name: upscaler for upscaler in upscalers}
    rows = []
    for original, picture, parts in zip(originals, pictures, windows, strict=True):
        compared = versions(picture, named, scale, parts)
        rows += compared if is_single else [row[1:] for row in compared]
        print(f"{output if len(originals) == 1 else original}: {' | '.join(each.caption for each in rows[-1])}")
    channels = max(len(row[-1].planes) for row in rows)
    planes = [[each.planes.repeat(channels // len(each.planes), axis=0) for each in row] for row in rows]
    result = sheet(planes, [[each.caption for each in row] for row in rows])
    writable(output, result.width, result.height, alpha=False, overwrite=overwrite)
    write(result, output, overwrite=overwrite)
    return 0


def crops_of(pictures: "Sequence[Image]", crops: Sequence[str]) -> "list[list[Crop]]":
    """The parts of each picture to show: the whole picture without crops.

    Raises:
        UsageError: a crop is malformed or outside its picture, or there is not one per picture.
    """
    if not crops:
        return [[(0, 0, picture.width, picture.height)] for picture in pictures]
    if len(pictures) > 1 and len(crops) != len(pictures):
        raise UsageError(f"{len(pictures)} pictures need one --crop each, or none; got {len(crops)}.")
    of_each = [crops] if len(pictures) == 1 else [[crop] for crop in crops]
    return [
        [parse_crop(crop, picture.width, picture.height) for crop in mine]
        for picture, mine in zip(pictures, of_each, strict=True)
    ]


def parse_crop(text: str, width: int, height: int) -> "Crop":
    """160x120+200+40 as (left, top, width, height).

    Raises:
        UsageError: it is malformed, or outside width x height.
    """
    numbers = text.replace("x", " ").replace("+", " ").split()
    if text.count("x") != 1 or text.count("+") != 2 or len(numbers) != 4 or not all(map(str.isdecimal, numbers)):
        raise UsageError(f"A crop is written as WIDTHxHEIGHT+LEFT+TOP, such as 160x120+200+40, got {text!r}.")
    across, down, left, top = map(int, numbers)
    if not (across and down and left + across <= width and top + down <= height):
        raise UsageError(f"The crop {text} is outside the {width}x{height} picture. Give one inside.")
    return left, top, across, down
