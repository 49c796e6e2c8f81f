"""Enlarge pictures with the Deep Recursive Residual Network, and repeat and extend the research behind it.

import drrn

drrn.upscale("photo.jpg", scale=2).save("large.jpg")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drrn.core.config import DRRNConfig as DRRNConfig
    from drrn.errors import DRRNError as DRRNError
    from drrn.media.image import Image as Image
    from drrn.upscaling.single import upscale as upscale
    from drrn.upscaling.upscaler import Upscaler as Upscaler
    from drrn.weights.store import Weights as Weights
    from drrn.weights.store import load as load

__version__ = "0.1.0"

_HOMES = {
    "DRRNConfig": "drrn.core.config",
    "DRRNError": "drrn.errors",
    "Image": "drrn.media.image",
    "Upscaler": "drrn.upscaling.upscaler",
    "Weights": "drrn.weights.store",
    "load": "drrn.weights.store",
    "upscale": "drrn.upscaling.single",
}

__all__ = ["DRRNConfig", "DRRNError", "Image", "Upscaler", "Weights", "load", "upscale"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import drrn` is instant."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'drrn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
