"""`drrn compare`."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from drrn.errors import UsageError
from drrn.weights import DEFAULT


def compare(
    original: Positional[Path],
    /,
    *,
    output: Annotated[Path, arg(aliases=["-o"])],
    scale: Annotated[float, arg(aliases=["-s"])] = 3,
    model: Annotated[str, arg(aliases=["-m"])] = DEFAULT,
    crop: str | None = None,
    overwrite: bool = False,
    device: str = "auto",
) -> int:
    """Make an original smaller, enlarge it again, and put lr, bicubic, drrn and original side by side.

    Args:
        original: A picture to be met again.
        output: The picture to write.
        scale: How much smaller, above 1 and at most 4.
        model: A packaged model or a weights file.
        crop: The part to show, in pixels of the original: 160x120+200+40 is 160 wide, from column 200 and row 40.
        overwrite: Replace the output where it exists.
        device: auto, cpu, cuda, mps.
    """
    try:
        from drrn.media.sheet import sheet
    except ModuleNotFoundError as error:
        raise UsageError(f"Comparing needs {error.name}. Install it: pip install 'drrn[train]'.") from error
    from drrn.evaluation.compare import compare as versions
    from drrn.media.files import read, writable, write
    from drrn.upscaling.upscaler import Upscaler

    picture = read(original)
    window = parse_crop(crop, picture.width, picture.height) if crop else (0, 0, picture.width, picture.height)
    found = versions(picture, Upscaler(model, device=device), scale, window)
    result = sheet([[part.planes for part in found]], [[part.caption for part in found]])
    writable(output, result.width, result.height, alpha=False, overwrite=overwrite)
    write(result, output, overwrite=overwrite)
    print(f"{output}: {' | '.join(part.caption for part in found)}")
    return 0


def parse_crop(text: str, width: int, height: int) -> tuple[int, int, int, int]:
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
