"""Any super-resolution network in an ONNX file can teach a DRRN, and its targets are cached."""

from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
import onnx
from onnx import TensorProto, helper

from drrn.core.color import levels, luma
from drrn.core.config import DRRNConfig
from drrn.core.resize import degrade, imresize
from drrn.data.pairs import read_levels, unit
from drrn.engines import onnx_file
from drrn.engines.onnx_file import OnnxNetwork
from drrn.errors import EngineError, TrainingError
from drrn.media.image import Image
from drrn.media.images.files import write
from drrn.training import teachers
from drrn.training.config import Source
from drrn.training.teachers import load_teacher
from tests.training.small_training import QUICK, ProgressLog, make_images, read_outputs, train

STILL = replace(QUICK, epochs=1, patch=40, stride=40, batch_size=5, learning_rate=1e-12)


def network(
    path: Path,
    scale: int = 2,
    channels: int = 3,
    *,
    gain: float = 1.0,
    size: list[str | int] | None = None,
    multiple: int = 1,
    half: bool = False,
) -> Path:
    """A network that repeats pixels and multiplies them by `gain`. Sides must be divisible by `multiple`."""
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    gains = np.array(gain, np.float16 if half else np.float32)
    constants = [
        onnx.numpy_helper.from_array(np.array([1, 1, scale, scale], np.float32), "scales"),
        onnx.numpy_helper.from_array(gains, "gain"),
    ]
    nodes, source = [], "lr"
    if multiple > 1:  # to windows and back
        nodes = [
            helper.make_node("SpaceToDepth", ["lr"], ["windows"], blocksize=multiple),
            helper.make_node("DepthToSpace", ["windows"], ["whole"], blocksize=multiple),
        ]
        source = "whole"
    nodes += [
        helper.make_node("Resize", [source, "", "scales"], ["large"], mode="nearest", nearest_mode="floor",
                         coordinate_transformation_mode="asymmetric"),
        helper.make_node("Mul", ["large", "gain"], ["sr"]),
    ]  # fmt: skip
    shape = [1, channels, *(size or ["height", "width"])]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("lr", kind, shape)],
        [helper.make_tensor_value_info("sr", kind, None)],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_images(tmp_path / "pictures", width=40)


def teach(data: Path, *files: Path, scale: float = 2, channels: int = 1, lr_data: Path | None = None) -> np.ndarray:
    """The target for the first image."""
    model = DRRNConfig(channels=channels)  # type: ignore[arg-type]
    source = Source(data=(data,), teacher=tuple(map(str, files)), lr_data=lr_data)
    teacher = load_teacher(model, replace(QUICK, scales=(scale,)), source)
    assert teacher
    path = data / "0.png"
    hr = read_levels(path, model.channels)
    return teacher.teach("cpu", 1)(path, degrade(unit(hr), scale), scale, hr)


def repeated(lr: np.ndarray, scale: int) -> np.ndarray:
    return lr.repeat(scale, 1).repeat(scale, 2)


def test_an_rgb_teacher_teaches_luma_of_its_color_result(tmp_path: Path, data: Path) -> None:
    path = network(tmp_path / "net.onnx")
    colors = degrade(unit(read_levels(data / "0.png", 3)), 2)
    wanted = levels(luma(repeated(colors, 2)))
    target = teach(data, path)
    assert target.shape == (1, 40, 40) and np.abs(target[0].astype(int) - wanted).max() <= 1
    in_colors = teach(data, path, channels=3)
    assert np.abs(in_colors - levels(repeated(colors, 2))).max() <= 1


def test_a_gray_image_keeps_its_range(tmp_path: Path) -> None:
    """Its samples are used as luma: white stays 255, although the luma of white is 235."""
    (tmp_path / "gray").mkdir()
    white = np.full((40, 40, 1), 255, np.uint8)
    write(Image.from_array(white), tmp_path / "gray/0.png")
    assert (teach(tmp_path / "gray", network(tmp_path / "net.onnx")) == 255).all()


def test_several_teachers_are_averaged_and_serve_smaller_scales(tmp_path: Path, data: Path) -> None:
    plain, bright = network(tmp_path / "a.onnx"), network(tmp_path / "b.onnx", gain=1.1)
    large = network(tmp_path / "c.onnx", 4)
    lone, mean = teach(data, plain).astype(float), teach(data, plain, bright, large).astype(float)
    assert np.allclose(mean[lone < 200], 1.05 * lone[lone < 200], atol=2), "x4 has no part in it"
    hr = read_levels(data / "0.png", 1)
    for scale in (1.6, 2.5):
        target = teach(data, large, plain, scale=scale)
        assert target.shape == hr.shape
        lr = degrade(unit(hr), scale)
        again = imresize(unit(target), *lr.shape[1:])
        assert np.abs(again - lr).max() < 0.02, "made smaller again, it is the lr"


def test_a_luma_teacher_teaches_luma(tmp_path: Path, data: Path) -> None:
    path = network(tmp_path / "luma.onnx", channels=1)
    lr = degrade(unit(read_levels(data / "0.png", 1)), 2)
    assert np.abs(teach(data, path) - levels(repeated(lr, 2))).max() <= 1
    with pytest.raises(TrainingError, match=r"luma\.onnx has channels = 1 and can't teach a model with channels = 3"):
        teach(data, path, channels=3)


@pytest.mark.parametrize("multiple", [8, 64])
def test_networks_with_windows_and_half_precision_take_any_size(tmp_path: Path, data: Path, multiple: int) -> None:
    plain = teach(data, network(tmp_path / "plain.onnx"))
    windows = teach(data, network(tmp_path / "windows.onnx", multiple=multiple))
    assert np.array_equal(windows, plain), "20 pixels a side are filled up, and cut off again"
    assert np.abs(teach(data, network(tmp_path / "half.onnx", half=True)).astype(int) - plain).max() <= 1


def test_unusable_teacher_files_say_why(tmp_path: Path, data: Path) -> None:
    with pytest.raises(EngineError, match=r"net\.onnx can't be read: No such file"):
        OnnxNetwork(tmp_path / "net.onnx")
    (tmp_path / "net.onnx").write_bytes(b"no network")
    with pytest.raises(EngineError, match="is not an ONNX network that ONNX Runtime can run"):
        OnnxNetwork(tmp_path / "net.onnx")
    for message, options in {
        r"its images are 48 x 32; export it with dynamic height and width": {"size": [32, 48]},
        r"\(3, 26, 28\) become \(3, 26, 28\)": {"scale": 1},
        r"a gray of 0\.5 becomes 127\.50": {"gain": 255.0},
        r"a gray of 0\.5 becomes nan": {"gain": float("nan")},
    }.items():
        network(tmp_path / "net.onnx", **options)  # type: ignore[arg-type]
        with pytest.raises(EngineError, match=rf"can't be used: {message}\. Expected one input"):
            OnnxNetwork(tmp_path / "net.onnx")
    path = network(tmp_path / "net.onnx")
    with pytest.raises(TrainingError, match=r"No teacher for x3 among .*net\.onnx \(x2\)\. Give another"):
        teach(data, path, scale=3)
    with pytest.raises(TrainingError, match="Several teachers must all be ONNX files"):
        load_teacher(DRRNConfig(), QUICK, Source(data=(data,), teacher=(str(path), "tiny")))


def test_targets_are_cached(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, how = network(tmp_path / "net.onnx"), replace(QUICK, epochs=2, epoch_steps=4)
    train(tmp_path / "whole", data, how, teacher=(str(path),))
    assert len(list((tmp_path / "whole/taught/x2").glob("*.png"))) == 5
    train(tmp_path / "parts", data, how, stop_after=6, teacher=(str(path),))
    monkeypatch.setattr(teachers, "_enlarge", lambda *args: pytest.fail("it was made before"))
    _, log = train(tmp_path / "parts", data, how, teacher=(str(path),))
    assert read_outputs(tmp_path / "whole") == read_outputs(tmp_path / "parts")
    assert isinstance(log, ProgressLog) and len(log.enlarged) == 5
    train(tmp_path / "another", data, STILL, teacher=(str(path),), teacher_cache=tmp_path / "whole/taught")
    assert not (tmp_path / "another/taught").exists()
    monkeypatch.undo()
    with pytest.raises(TrainingError, match="teacher_sha256"):
        train(tmp_path / "parts", data, how, teacher=(str(network(tmp_path / "net.onnx", gain=1.01)),))


def test_another_image_of_the_same_name_has_its_own_target(tmp_path: Path, data: Path) -> None:
    path = network(tmp_path / "net.onnx")
    train(tmp_path / "run", data, STILL, teacher=(str(path),))
    others = make_images(tmp_path / "others", width=40, seed=1)
    cache = tmp_path / "run/taught"
    train(tmp_path / "second", others, STILL, teacher=(str(path),), teacher_cache=cache)
    assert len(list(cache.glob("x2/*.png"))) == 10


def test_a_teacher_uses_the_threads_of_the_training(tmp_path: Path, data: Path) -> None:
    path = network(tmp_path / "net.onnx")
    with mock.patch.object(onnx_file, "OnnxNetwork", wraps=OnnxNetwork) as opened:
        teach(data, path)  # with one thread
    assert opened.call_args == mock.call(path, 1)
