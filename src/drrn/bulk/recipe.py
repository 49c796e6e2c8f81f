"""The recipe of a plan: the options that decide how every file is enlarged."""

import json
from dataclasses import asdict, dataclass

from drrn import __version__
from drrn.core.parsing import parse_record
from drrn.errors import StorageError, UsageError
from drrn.media.images.files import MAX_PIXELS
from drrn.upscaling.batch.naming import Naming, parse_size
from drrn.upscaling.batch.planning import Request
from drrn.upscaling.formats.job import Options
from drrn.upscaling.size import target_size


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the results, apart from the sources."""

    source: str
    """URL or absolute path of the source."""
    weights_sha256: str
    """`Weights.digest`."""
    model: str
    version: str = __version__
    """Version of drrn: another one may produce different bytes."""
    scale: float | None = None
    size: str | None = None
    """As `drrn upscale --size` takes it."""
    units: int | None = None
    ensemble: bool = False
    format: str | None = None
    """Suffix of the results; None keeps that of each source."""
    name: str | None = None
    """Pattern of `drrn upscale --name`."""
    quality: int | None = None
    """Quality of JPEG and WebP, 1 to 100; None keeps that of each source."""
    lossless: bool = False
    strict: bool = False
    overwrite: bool = False
    """Whether a result may replace an existing file that differs from it."""
    max_pixels: int = MAX_PIXELS
    """Most pixels of a picture, read or written."""

    @property
    def request(self) -> Request:
        """These options as a request for `plan` of drrn.upscaling.batch.planning.

        Raises:
            UsageError: a field is out of range.
        """
        if self.scale is not None and self.size is not None:
            raise UsageError("Give --scale or --size, not both.")
        target_size(100, 100, self.scale, None)
        return Request(
            scale=self.scale,
            size=parse_size(self.size) if self.size else None,
            many=True,
            naming=Naming(self.name, self.format),
            max_pixels=self.max_pixels,
            strict=self.strict,
            options=Options(quality=self.quality, lossless=self.lossless),
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"


def parse_recipe(content: bytes | None) -> Recipe:
    """Parse the JSON of a recipe.

    Raises:
        ValueError: it is missing or damaged.
        StorageError: it was written by another version of drrn.
    """
    values = json.loads(content or b"")
    version = values.get("version") if isinstance(values, dict) else None
    if version not in (None, __version__):
        raise StorageError(
            f"The plan was made by drrn {version}, and this is {__version__}. Install that version, or make a new plan."
        )
    recipe: Recipe = parse_record(Recipe, values)
    return recipe
