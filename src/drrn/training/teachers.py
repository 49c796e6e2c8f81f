"""Teachers: networks, or their results in files, that a training learns from instead of the originals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from drrn.core.color import levels, luma
from drrn.core.config import DRRNConfig
from drrn.core.resize import degrade, imresize, modcrop
from drrn.data.pairs import Levels, Teach, read_levels, unit
from drrn.engines import EngineName
from drrn.engines.engine import Planes
from drrn.engines.selection import is_compiled
from drrn.errors import DataError, TrainingError, UsageError
from drrn.media.image import Image
from drrn.media.images.files import write
from drrn.training.config import Source, TrainConfig
from drrn.upscaling.upscaler import Upscaler
from drrn.weights.store import Weights, load

if TYPE_CHECKING:
    from drrn.engines.onnx_file import OnnxNetwork

UNLIMITED = 1 << 40
"""Bytes for a teacher: a machine that can hold the images of a training can enlarge one of them in tiles."""
BACK_PROJECTIONS = 2
"""Corrections of a target that was reduced. The second is worth 0.2 dB at x1.2, and nothing from x1.8 on; see
docs/log/2026-11-29-between/scores.csv."""


@dataclass(frozen=True)
class Teacher:
    """A network, or several, whose results are learned.

    Attributes:
        digest: SHA-256 of all that decides the results.
        teach: makes a target, given the device and the number of threads first.
    """

    digest: str
    teach: Callable[[str, int], Teach]


def load_teacher(model: DRRNConfig, config: TrainConfig, source: Source) -> Teacher | None:
    """Open the teacher that `source` names.

    Raises:
        WeightsError, EngineError: there are no such weights, or an ONNX file is not a super-resolution network.
        TrainingError: it can't teach this model, or not these scales.
        UsageError: an ONNX file is named and ONNX Runtime is missing.
    """
    if not source.teacher:
        return None
    if source.teacher_data:
        raise TrainingError("--teacher and --teacher-data are two teachers. Give one of them.")
    files = [Path(name) for name in source.teacher if name.lower().endswith(".onnx")]
    scales = () if source.lr_data else config.scales  # with --lr-data, known once its images are read
    if files and len(files) == len(source.teacher):
        return _onnx_teacher(files, model, scales, makes_lr=source.lr_data is None)
    if len(source.teacher) > 1:
        raise TrainingError("Several teachers must all be ONNX files. Give those, or one model.")
    weights = load(source.teacher[0])
    _check_channels(source.teacher[0], weights.config.channels, model)
    for scale in scales:
        check_scale(weights, scale)

    def teach(device: str, threads: int) -> Teach:
        return teach_by_weights(weights, device, threads)

    return Teacher(weights.digest(), teach)


def teach_by_weights(teacher: Weights, device: str, threads: int) -> Teach:
    """Targets that `teacher` computes, exactly as `drrn upscale` does.

    Raises:
        TrainingError, EngineError: when a target is made, if the weights were not trained for its scale, or fail.
    """
    # without the compiled engine, auto would choose NumPy's, which is many times slower
    engine: EngineName = "torch" if device == "cpu" and not is_compiled() else "auto"
    upscaler = Upscaler(teacher, engine=engine, device=device, threads=threads, max_memory=UNLIMITED)

    def teach(path: Path, lr: Planes, scale: float, hr: Levels) -> Levels:
        check_scale(teacher, scale)
        larger = upscaler.upscale(Image(pixels=lr.transpose(1, 2, 0)), size=(hr.shape[2], hr.shape[1]))
        return levels(larger.pixels.transpose(2, 0, 1)).astype(np.uint8)

    return teach


def _onnx_teacher(files: Sequence[Path], model: DRRNConfig, scales: Sequence[float], *, makes_lr: bool) -> Teacher:
    """A teacher of ONNX files; see `load_teacher`.

    Args:
        makes_lr: the lr are made from the originals, so RGB networks can see their colors.
    """
    try:
        from drrn.engines.onnx_file import OnnxNetwork
    except ModuleNotFoundError as error:
        raise UsageError(f"An ONNX teacher needs {error.name}. Install it: pip install 'drrn[onnx]'.") from error
    checked = [OnnxNetwork(path) for path in files]
    for network in checked:
        if network.channels != 3:
            _check_channels(network.name, network.channels, model)
    for scale in scales:
        _nearest(checked, scale)

    def teach_with(device: str, threads: int) -> Teach:
        networks = [OnnxNetwork(path, threads) for path in files]
        makes_colors = makes_lr and any(network.channels == 3 for network in networks)

        def teach(path: Path, lr: Planes, scale: float, hr: Levels) -> Levels:
            colors = degrade(unit(modcrop(read_levels(path, None), scale)), scale) if makes_colors else lr
            nearest = _nearest(networks, scale)
            results = [_enlarge(each, colors if each.channels == 3 else lr, len(lr)) for each in nearest]
            return levels(_fit(np.mean(results, axis=0), lr, hr.shape[1:])).astype(np.uint8)

        return teach

    digest = sha256("".join(sorted(network.digest for network in checked)).encode()).hexdigest()
    return Teacher(digest, teach_with)


def _nearest(networks: "Sequence[OnnxNetwork]", scale: float) -> "list[OnnxNetwork]":
    """The networks for the next whole scale: their mean is the target.

    Raises:
        TrainingError: no network enlarges by as much.
    """
    enough = [network.scale for network in networks if network.scale >= scale]
    if not enough:
        names = ", ".join(f"{network.name} (x{network.scale})" for network in networks)
        raise TrainingError(f"No teacher for x{scale:g} among {names}. Give another --teacher, or other scales.")
    return [network for network in networks if network.scale == min(enough)]


def _enlarge(network: "OnnxNetwork", planes: Planes, channels: int) -> Planes:
    """The result of `network` on `planes` (1 or 3, h, w), as luma or RGB, whichever `channels` asks for."""
    result = network.run(np.repeat(planes, network.channels // len(planes), axis=0))
    if channels == len(result):
        return result
    # luma of a gray image is its own values, as in `read_levels`
    return np.asarray(result.mean(0, keepdims=True) if len(planes) == 1 else luma(result)[None], np.float32)


def _fit(target: Planes, lr: Planes, size: tuple[int, ...]) -> Planes:
    """Reduce a target to `size`, and correct it so that it still becomes `lr` when reduced further."""
    if target.shape[1:] == size:
        return target
    target = imresize(target, *size)
    for _ in range(BACK_PROJECTIONS):
        target += imresize(lr - imresize(target, *lr.shape[1:]), *size)
    return target


def cache_targets(teach: Teach, folder: Path, digest: str) -> Teach:
    """`teach`, caching its targets as PNG files in `folder`.

    Args:
        digest: of the teacher.
    """

    def teach_once(path: Path, lr: Planes, scale: float, hr: Levels) -> Levels:
        key = sha256(digest.encode() + path.read_bytes() + lr.tobytes() + str(hr.shape).encode()).hexdigest()
        cached = folder / f"x{scale:g}" / f"{path.stem}-{key[:16]}.png"
        if cached.exists():
            return read_levels(cached, None)
        target = teach(path, lr, scale, hr)
        cached.parent.mkdir(parents=True, exist_ok=True)
        write(Image.from_array(np.ascontiguousarray(target.transpose(1, 2, 0))), cached, overwrite=True)
        return target

    return teach_once


def count_targets(teach: Teach, report: Callable[[int], None]) -> Teach:
    """`teach`, calling `report` after each target with the number made so far."""
    numbers = count(1)

    def teach_and_count(path: Path, lr: Planes, scale: float, hr: Levels) -> Levels:
        target = teach(path, lr, scale, hr)
        report(next(numbers))
        return target

    return teach_and_count


def teach_by_files(folder: Path, scales: Sequence[float], channels: Literal[1, 3]) -> Teach:
    """Targets that a teacher left as files, see `Source.teacher_data`.

    Raises:
        DataError: there is no folder for any of the scales; or, when a target is read, it is missing or has the wrong
            size.
    """
    folders = {scale: target_folder(folder, scale) for scale in scales if target_folder(folder, scale).is_dir()}
    if not folders:
        wanted = ", ".join(f"x{scale:g}" for scale in sorted(set(scales)))
        raise DataError(f"{folder} holds no targets for these scales. Expected folders {wanted} in it.")

    def teach(path: Path, lr: Planes, scale: float, hr: Levels) -> Levels:
        if scale not in folders:
            return hr
        target = find_target(path, folders[scale])
        values = read_levels(target, 3)
        if channels == 1:  # WebP has no gray: equal channels are luma as it is, as in any gray file
            values = values[:1] if (values == values[:1]).all() else read_levels(target, 1)
        if values.shape != hr.shape:
            raise DataError(
                f"{target} is {values.shape[2]}x{values.shape[1]}. Expected {hr.shape[2]}x{hr.shape[1]}: {path.name}, "
                f"cropped to a multiple of {scale:g}."
            )
        return values

    return teach


def target_folder(folder: Path, scale: float) -> Path:
    """Where `Source.teacher_data` has the targets of a scale."""
    return folder / f"x{scale:g}"


def find_target(path: Path, folder: Path) -> Path:
    """The target of an original: in `folder`, or in a subfolder named like the original's (T91, or BSDS500_train).

    Raises:
        DataError: there is none.
    """
    parents = path.resolve().parts[:-1]
    places = [folder, *(folder / "_".join(parents[-depth:]) for depth in range(1, min(len(parents), 3) + 1))]
    for place in places:
        for suffix in (".webp", ".png", ".tif"):
            if (target := place / f"{path.stem}{suffix}").exists():
                return target
    raise DataError(f"No target for {path} in {folder}. Expected {places[1] / path.stem}.webp.")


def check_scale(teacher: Weights, scale: float) -> None:
    """Check that `teacher` can teach `scale`.

    Raises:
        TrainingError: it was not trained for it.
    """
    if outside := teacher.outside(scale):
        raise TrainingError(f"{outside}, so it can't teach that scale. Give another --teacher, or other scales.")


def _check_channels(name: str, channels: int, model: DRRNConfig) -> None:
    """Check that a teacher sees what `model` sees.

    Raises:
        TrainingError: one of them has luma, the other RGB.
    """
    if channels != model.channels:
        raise TrainingError(
            f"{name} has channels = {channels} and can't teach a model with channels = {model.channels}. Give another "
            "--teacher, or another --channels."
        )
