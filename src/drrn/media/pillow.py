"""Convert between Pillow's images and `Image`. Pillow is imported on use: `import drrn` does not need it."""

import sys
import warnings
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import numpy as np

from drrn.media.image import Image, type_name
from drrn.media.images.files import upright
from drrn.media.metadata import exif as tags
from drrn.media.metadata.adapting import adapt_metadata, make_metadata_upright
from drrn.media.metadata.metadata import Extras, Metadata, Pair

if TYPE_CHECKING:
    from PIL.Image import Image as Pillow

EXIF_PREFIX: Final = b"Exif\0\0"


def is_pillow(value: object) -> "TypeGuard[Pillow]":
    """Whether it is a Pillow image. Does not import Pillow."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)


def from_pil(image: "Pillow") -> Image:
    """See `Image.from_pil`."""
    if not is_pillow(image):
        raise TypeError(f"Image.from_pil takes a PIL image, got {type_name(image)}.")
    info = image.info
    if not image.mode.startswith("I;16"):
        image = _without_palette(image)
    block = tags.plain(info["exif"]) if info.get("exif") else None
    lost = ("without EXIF that can't be read",) if info.get("exif") and not block else ()
    packet = info.get("xmp") or info.get("XML:com.adobe.xmp") or None
    metadata = Metadata(
        icc=info.get("icc_profile") or None,
        exif=block,
        xmp=packet.encode() if isinstance(packet, str) else packet,
        dpi=_dpi(info.get("dpi")),
        extras=Extras(lost=lost),
    )
    orientation = tags.orientation(block) if block else 1
    metadata = make_metadata_upright(metadata, orientation, image.size)
    array = np.asarray(image)
    array = upright(array if array.ndim == 3 else array[..., None], orientation)
    plain = Image.from_array(array)
    return Image(pixels=plain.pixels, alpha=plain.alpha, bits=plain.bits, **metadata._asdict())


def to_pil(image: Image) -> "Pillow":
    """See `Image.to_pil`."""
    from PIL import Image as Pillow

    array = image.to_array()
    if array.dtype == np.uint16 and array.shape[2] > 1:
        warnings.warn("16 bit to 8: Pillow supports 16 bits only for gray without alpha.", stacklevel=3)
        array = Image(pixels=image.pixels, alpha=image.alpha).to_array()
    made = Pillow.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    metadata = adapt_metadata(image.metadata, image.width, image.height)
    info: dict[str, Any] = {
        "icc_profile": metadata.icc,
        "exif": metadata.exif and EXIF_PREFIX + metadata.exif.removeprefix(EXIF_PREFIX),
        "xmp": metadata.xmp,
        "dpi": metadata.dpi,
    }
    made.info.update({name: value for name, value in info.items() if value})
    return made


def _without_palette(image: "Pillow") -> "Pillow":
    is_transparent = image.has_transparency_data
    match image.mode:
        case "1" | "L" | "LA":
            wanted = "LA" if is_transparent else "L"
        case "P" | "PA" | "RGB" | "RGBA":
            wanted = "RGBA" if is_transparent else "RGB"
        case mode:
            raise ValueError(
                f"A PIL image must be of mode 1, L, LA, P, PA, RGB, RGBA or I;16, got {mode}. "
                "Convert it first, as by image.convert('RGB')."
            )
    return image if image.mode == wanted else image.convert(wanted)


def _dpi(value: Any) -> Pair | None:
    """Validate dpi: Pillow has (0, 0) or (1, 1) if a file states none."""
    try:
        across, down = map(float, value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (across, down) if all(1 < each < 65536 for each in (across, down)) else None
