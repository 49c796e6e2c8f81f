"""What worker processes tell clients about their tasks: messages, the choice of a model, and checks."""

import os
import re
from math import isfinite
from pathlib import Path
from typing import Any

from drrn.errors import DRRNError, printable


def client_message(error: DRRNError, source: Path, folder: Path, name: str) -> str:
    """The message of an error on one line, with the client's name for the file instead of the service's paths.

    Args:
        source: path of the picture.
        folder: folder of the result.
        name: the client's name for the file, empty if it is not known.
    """
    text, name = " ".join(str(error).split()), printable(name) or "the picture"
    place, separator = re.escape(printable(folder)), re.escape(os.sep)
    text = re.sub(rf"{place}{separator}result(\.\w+)?", lambda found: name, text)
    text = text.replace(printable(source), name).replace(printable(folder), "the service's disk")
    return text.replace("Make room, or give another --output.", "Try a smaller scale, or try again later.")


def why(choice: Any, job: Any) -> str:
    """Why a model was chosen, for a `drrn.upscaling.batch.choosing.Choice` and its job."""
    from drrn.upscaling.batch.choosing import outside_training

    reasons = [choice.condition]
    if choice.budget is not None and choice.within_budget:
        reasons.append(f"the best that takes at most {choice.budget:g} seconds")
    elif choice.budget is not None:
        reasons.append(f"the fastest, as none takes at most {choice.budget:g} seconds")
    return "; ".join(filter(None, [*reasons, outside_training(job, choice.upscaler.weights)]))


def check_to_json(check: Any) -> dict[str, Any] | None:
    """A check as JSON values. An infinite PSNR, of identical pictures, becomes null, as JSON has no infinity."""
    if not (check.check and check.bicubic):
        return None
    ours, bicubic = (
        {"psnr": round(each.psnr, 2) if isfinite(each.psnr) else None, "largest": each.largest}
        for each in (check.check, check.bicubic)
    )
    return ours | {"bicubic": bicubic}
