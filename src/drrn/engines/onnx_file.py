"""A super-resolution network of any kind in an ONNX file, used as a teacher."""

from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
from onnxruntime.capi import onnxruntime_pybind11_state as reasons

from drrn.engines.engine import Planes
from drrn.engines.onnx import open_session, run_session
from drrn.errors import EngineError, printable

TYPES: Final[dict[str, type[np.floating[Any]]]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
MULTIPLES: Final = (1, 8, 16, 32, 64)
"""Pixels: networks with windows or strides only accept sides that are multiples of one of these."""
GRAY: Final = 0.5
ERRORS: Final = (
    reasons.Fail,
    reasons.InvalidArgument,
    reasons.InvalidGraph,
    reasons.InvalidProtobuf,
    reasons.NotImplemented,
    reasons.RuntimeException,
)
"""ONNX Runtime's errors have no common base class."""


class OnnxNetwork:
    """A network that enlarges (1, C, h, w) in [0, 1] to (1, C, scale h, scale w), C being 1 (luma) or 3 (RGB).

    Attributes:
        name: of the file, as messages show it.
        scale: a whole number, found by a trial run.
        channels: 1 or 3.
        digest: SHA-256 of the file.
    """

    def __init__(self, path: Path, threads: int = 0):
        """Open the file and try the network.

        Args:
            threads: CPU threads, 0 for all cores.

        Raises:
            EngineError: the file is missing, damaged, or not such a network.
        """
        self.name = printable(path)
        try:
            self.digest = sha256(path.read_bytes()).hexdigest()
            self._session = open_session(path, threads)
        except OSError as error:
            raise EngineError(f"{self.name} can't be read: {error.strerror}.") from error
        except ERRORS as error:
            raise EngineError(f"{self.name} is not an ONNX network that ONNX Runtime can run.") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape if inputs else []
        if (len(inputs), len(outputs), len(shape)) != (1, 1, 4) or inputs[0].type not in TYPES:
            found = ", ".join(f"{each.type} {each.shape}" for each in inputs)
            raise self._unusable(f"its inputs are {found} and it has {len(outputs)} outputs")
        if any(isinstance(side, int) for side in shape[2:]):
            raise self._unusable(f"its images are {shape[3]} x {shape[2]}; export it with dynamic height and width")
        self.channels: int = shape[1] if isinstance(shape[1], int) else 3
        self._type = TYPES[inputs[0].type]
        self._multiple, self.scale = self._try()

    def run(self, planes: Planes) -> Planes:
        """Enlarge planes.

        Args:
            planes: (C, h, w) in [0, 1].

        Returns:
            (C, scale h, scale w), not clipped.

        Raises:
            EngineError: it fails, or its result is not finite.
        """
        height, width = planes.shape[1:]
        beyond = [(0, -side % self._multiple) for side in (height, width)]
        try:
            made = self._run(np.pad(planes, [(0, 0), *beyond], mode="symmetric"))
        except ERRORS as error:
            raise EngineError(f"{self.name} fails on {width}x{height} pixels: {_first_line(error)}") from error
        if not np.isfinite(made).all():
            raise EngineError(f"{self.name} returns values that are not finite for {width}x{height} pixels.")
        return made[:, : height * self.scale, : width * self.scale]

    def _run(self, planes: Planes) -> Planes:
        return np.asarray(run_session(self._session, planes[None].astype(self._type))[0], np.float32)

    def _try(self) -> tuple[int, int]:
        """Find the multiple that sides must have, and the scale.

        Raises:
            EngineError: it enlarges nothing, or does not leave a gray as it is.
        """
        failed = ""
        for multiple in MULTIPLES:
            height, width = (multiple * odd if multiple > 1 else 23 + odd for odd in (3, 5))
            gray = np.full((self.channels, height, width), GRAY, np.float32)
            try:
                made = self._run(gray)
            except ERRORS as error:
                failed = failed or _first_line(error)
                continue
            scale = made.shape[-1] // width
            if scale < 2 or made.shape != (self.channels, scale * height, scale * width):
                raise self._unusable(f"{gray.shape} become {made.shape}")
            if not abs(float(made.mean()) - GRAY) < 0.1:
                raise self._unusable(f"a gray of {GRAY} becomes {float(made.mean()):.2f}")
            return multiple, scale
        raise self._unusable(failed)

    def _unusable(self, reason: str) -> EngineError:
        return EngineError(
            f"{self.name} can't be used: {reason}. Expected one input and one output of floats, (1, C, H, W) in [0, 1] "
            "with 1 channel (luma) or 3 (RGB), and an output that is larger by a whole number."
        )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:150]
