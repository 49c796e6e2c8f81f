"""An exported ONNX file matches the network, and the self-contained form matches `drrn upscale`, in other runtimes."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

from drrn.core.config import Skip
from drrn.engines import onnx as room
from drrn.engines.export import export
from drrn.engines.onnx import OnnxEngine, model, picture_model
from drrn.engines.pytorch import build
from drrn.engines.selection import choose
from drrn.errors import DRRNError, EngineError
from drrn.media.image import Image
from drrn.media.images.files import read
from drrn.upscaling.upscaler import Upscaler
from drrn.weights.store import Weights, load
from tests.conftest import ROOT
from tests.small_weights import random_weights, small_weights

Bytes = NDArray[np.uint8]

configs = st.fixed_dictionaries(
    {
        "blocks": st.integers(1, 3),
        "units": st.integers(0, 3),
        "skip": st.sampled_from(get_args(Skip)),
        "global_residual": st.booleans(),
        "batch_norm": st.booleans(),
        "bias": st.booleans(),
        "share": st.booleans(),
        "channels": st.sampled_from([1, 3]),
        "unshuffle": st.sampled_from([1, 2, 4]),
    }
)


def run(proto: onnx.ModelProto, batch: NDArray[Any]) -> NDArray[Any]:
    """Run a model in ONNX Runtime, without drrn."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options)
    (result,) = session.run(None, {proto.graph.input[0].name: batch})
    return result


def exactly(weights: Weights, batch: NDArray[np.float32], units: int | None = None) -> NDArray[np.float64]:
    """sr computed by torch in float64."""
    with torch.inference_mode():
        sr: NDArray[np.float64] = build(weights).double()(torch.from_numpy(batch).double(), units=units).numpy()
    return sr


def assert_close(ours: NDArray[Any], theirs: NDArray[Any], tolerance: float) -> None:
    """A failure shows the largest difference and where it is."""
    assert ours.shape == theirs.shape
    off = np.abs(ours.astype(float) - theirs)
    at = np.unravel_index(off.argmax(), off.shape)
    assert off[at] <= tolerance, f"{off[at]:.3g} at {tuple(map(int, at))}"


def noise(*shape: int, seed: int = 0) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


# --- the network ---


@pytest.mark.slow
@settings(max_examples=60)
@given(configs, st.integers(1, 2), st.integers(1, 19), st.integers(1, 19), st.integers(0, 2**31))
def test_the_onnx_graph_matches_the_network(
    fields: dict[str, Any], batch: int, height: int, width: int, seed: int
) -> None:
    weights = small_weights(seed, gain=1, **fields)
    ilr = np.random.default_rng(seed).random((batch, weights.config.channels, height, width), np.float32)
    sr = run(model(weights), ilr)
    assert_close(sr, exactly(weights, ilr), 1e-5)
    assert np.abs(sr - ilr).max() > 1e-3  # the network does something


@pytest.mark.parametrize("skip", get_args(Skip))
@pytest.mark.parametrize("fields", [{}, {"share": False, "batch_norm": True, "blocks": 2}], ids=str)
@pytest.mark.parametrize("units", [0, 1, 2])
def test_a_graph_with_fewer_units_matches_the_network(skip: Skip, fields: dict[str, Any], units: int) -> None:
    weights = small_weights(skip=skip, units=3, **fields)
    ilr = np.random.default_rng(0).random((1, 1, 11, 13), np.float32)
    assert_close(run(model(weights, units), ilr), exactly(weights, ilr, units), 1e-5)


def test_shared_kernels_are_stored_once() -> None:
    few, many = (model(small_weights(units=units)) for units in (1, 9))
    kernels = [tuple(tensor.dims) for tensor in many.graph.initializer if len(tensor.dims) == 4]
    assert kernels == [(8, 1, 3, 3), (8, 8, 3, 3), (8, 8, 3, 3), (1, 8, 3, 3)]
    assert many.ByteSize() - few.ByteSize() < 8 * 1000  # eight units are their nodes


def test_an_identity_batch_norm_is_left_out() -> None:
    operators = [node.op_type for node in model(small_weights(units=2)).graph.node]
    unit = ["Relu", "Conv", "Relu", "Conv", "Add"]
    assert operators == ["Relu", "Conv", *unit, *unit, "Relu", "Conv", "Add"]
    assert "Mul" in {node.op_type for node in model(small_weights(batch_norm=True)).graph.node}


# --- the whole enlargement ---

SPECIAL = {
    "a pixel": noise(1, 1, 3),
    "a row": noise(1, 17, 3),
    "a column": noise(13, 1, 3),
    "primes": noise(29, 23, 3),
    "gray": np.repeat(noise(12, 15, 1), 3, axis=2),
    "constant": np.full((9, 11, 3), (3, 200, 77), np.uint8),
    "white": np.full((9, 11, 3), 255, np.uint8),
    "of one luma": np.tile(np.array([[(0, 90, 0), (0, 90, 0)]], np.uint8), (5, 4, 1)),
}
MODELS: list[dict[str, Any]] = [
    {},
    {"channels": 3},
    {"unshuffle": 2, "skip": "chain"},
    {"unshuffle": 4, "channels": 3, "batch_norm": True},
    {"scales": (2, 3)},
]


@pytest.mark.parametrize("fields", MODELS, ids=str)
@pytest.mark.parametrize(
    "scale", [2, 1.1, *(pytest.param(each, marks=pytest.mark.slow) for each in (3, 4, 8, 1.5, 2.718))]
)
def test_the_self_contained_graph_matches_drrn_upscale(fields: dict[str, Any], scale: float) -> None:
    weights = random_weights(fields)
    proto, upscaler = picture_model(weights, scale), Upscaler(weights, threads=1)
    for what, array in SPECIAL.items():
        result, expected = run(proto, array[None])[0], upscaler.upscale(Image.from_array(array), scale).to_array()
        assert_close(result, expected, 1)
        assert (result != expected).mean() < 0.005, what
        if what in ("constant", "white"):
            assert (result == array[0, 0]).all()
        if what == "gray":
            assert (result == result[..., :1]).all()


def test_images_of_an_onnx_batch_are_independent() -> None:
    proto = picture_model(small_weights(), 2)
    one, gray, constant = (noise(9, 11, 3), np.repeat(noise(9, 11, 1), 3, axis=2), SPECIAL["constant"])
    together = run(proto, np.stack([one, gray, constant]))
    for alone, result in zip((one, gray, constant), together, strict=True):
        assert_close(result, run(proto, alone[None])[0], 0)


@pytest.mark.slow
@settings(max_examples=40)
@given(st.integers(1, 3000), st.floats(1, 8))
def test_sides_are_rounded_as_upscale_rounds_them(side: int, scale: float) -> None:
    result = run(picture_model(small_weights(units=0, width=1), scale), noise(1, 1, side, 3))
    assert result.shape == (1, int(scale + 0.5), int(side * scale + 0.5), 3)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("chelsea", 100),
        pytest.param("chelsea", None, marks=pytest.mark.full),
        pytest.param("coffee", None, marks=pytest.mark.full),
    ],
)
def test_the_exported_packaged_model_matches_drrn_upscale_on_the_samples(
    tmp_path: Path, name: str, side: int | None, scale: int
) -> None:
    array = read(ROOT / "samples" / f"{name}.png").to_array()[:side, :side]
    expected = Upscaler("small", threads=1).upscale(Image.from_array(array), scale).to_array()
    export(load("small"), tmp_path / "small.onnx", scale=scale)
    result = run(onnx.load(tmp_path / "small.onnx"), array[None])[0]
    assert_close(result, expected, 1)
    assert (result == expected).mean() > 0.999


@pytest.mark.parametrize("fields", MODELS, ids=str)
def test_the_onnx_reference_evaluator_gives_the_same_result(fields: dict[str, Any]) -> None:
    """This is the interpreter of the onnx package, which implements the standard in NumPy."""
    weights = random_weights(fields)
    ilr = np.random.default_rng(0).random((2, weights.config.channels, 13, 9), np.float32)
    for proto, batch, tolerance in ((model(weights), ilr, 1e-5), (picture_model(weights, 1.7), noise(2, 9, 7, 3), 1)):
        (theirs,) = list(ReferenceEvaluator(proto).run(None, {proto.graph.input[0].name: batch}))
        assert_close(run(proto, batch), np.asarray(theirs), tolerance)


def test_exporting_a_scale_below_one_is_a_value_error() -> None:
    for scale in (0.5, float("nan")):
        with pytest.raises(ValueError, match="`scale` must be at least 1, got"):
            picture_model(small_weights(), scale)


def test_an_exported_file_describes_itself() -> None:
    card = {"command": "drrn train", "seed": 3, "scores": [{"psnr": 30.5}], "data": "long", "commit": "a\ud800b"}
    weights = replace(small_weights(), card=card, name="m\udcff")  # a stranger's card, and a name of no characters
    for proto, scale in ((model(weights, 1), None), (picture_model(weights, 2, 1), "2")):
        known = {entry.key: entry.value for entry in onnx.load_from_string(proto.SerializeToString()).metadata_props}
        assert json.loads(known["config"]) == weights.config.to_dict()
        assert (known["units"], known["model"], known.get("scale")) == ("1", "m?", scale)
        assert (known["command"], known["seed"], known["commit"]) == ("drrn train", "3", "a?b")
        assert json.loads(known["scores"]) == card["scores"] and "data" not in known
        assert proto.producer_name == "drrn" and "DRRN" in proto.doc_string


# --- the engine ---


def test_the_onnx_engine_is_chosen_by_name() -> None:
    weights = small_weights(channels=3, unshuffle=2)
    engine = choose(weights, engine="onnx", threads=1)
    assert engine.name == f"onnx (ONNX Runtime {onnxruntime.__version__}, cpu, 1 thread)" and not engine.streams
    ilr = np.random.default_rng(0).random((15, 3, 17), np.float32).swapaxes(0, 1)  # not contiguous
    reported: list[int] = []
    assert_close(engine.run(ilr, reported.append), exactly(weights, ilr[None])[0], 1e-5)
    assert reported == [15]


def test_the_onnx_engine_runs_fewer_units() -> None:
    weights = small_weights(trained_units=(1, 2))
    ilr = np.random.default_rng(0).random((1, 9, 9), np.float32)
    assert_close(OnnxEngine(weights, units=1, threads=1).run(ilr), exactly(weights, ilr[None], 1)[0], 1e-5)


def test_tiles_of_the_onnx_engine_match_the_default_engine() -> None:
    weights, picture = small_weights(unshuffle=2), Image.from_array(noise(60, 80, 3))
    expected = Upscaler(weights, threads=1).upscale(picture, 2)
    # enough for the planes of the image, but too little to run all of it at once
    tiled = Upscaler(weights, engine="onnx", threads=1, max_memory=room.KEPT + 120 * 160 * 60)
    assert tiled.estimate(80, 60, 2).tile < (120, 160)
    assert_close(tiled.upscale(picture, 2).pixels, expected.pixels, 1e-5)


def run_in_process(code: str) -> str:
    """Run code in a separate process, and return its output; it must print nothing to stderr."""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0 and ended.stderr == "", ended.stderr
    return ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize("fields", [{"width": 48, "unshuffle": 2}, {"width": 20, "skip": "chain", "channels": 3}])
@pytest.mark.parametrize("side", [256, 501, pytest.param(701, marks=pytest.mark.full)])
def test_the_memory_estimate_is_an_upper_bound_and_memory_is_released(fields: dict[str, Any], side: int) -> None:
    ratio, held = map(float, run_in_process(MEASURED.format(fields=fields, side=side)).split())
    assert 0.05 < ratio <= 1
    assert held < 64


MEASURED = """
from pathlib import Path
import numpy as np
from drrn.engines.onnx import OnnxEngine
from tests.small_weights import random_weights, small_weights

def memory(which):
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(which)]
    return int(line.split()[1]) * 1024

weights = small_weights(units=3, **{fields})
engine = OnnxEngine(weights, threads=1)
ilr = np.full((weights.config.channels, {side}, {side}), 0.5, np.float32)
engine.run(ilr[:, :32, :32])
before = memory("VmRSS")
for _ in range(3):
    sr = engine.run(ilr)
print((memory("VmHWM") - before - sr.nbytes) / engine.memory({side}, {side}))
print((memory("VmRSS") - before - sr.nbytes) / 2**20)
"""


def test_too_little_memory_is_reported_and_a_smaller_piece_still_runs() -> None:
    printed = run_in_process("""
import resource
from pathlib import Path
import numpy as np
from drrn.engines.engine import OutOfMemoryError
from drrn.engines.onnx import OnnxEngine
from tests.small_weights import random_weights, small_weights

engine = OnnxEngine(small_weights(width=32), threads=1)
ilr = np.full((1, 1500, 1500), 0.5, np.float32)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (300 << 20), resource.RLIM_INFINITY))
try:
    engine.run(ilr)
except OutOfMemoryError as error:
    print(error)
print(np.isfinite(engine.run(ilr[:, :200, :200])).all())
""")
    assert printed == "Not enough memory for an image of 1500x1500.\nTrue\n"


def test_other_failures_of_the_runtime_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise Fail("a node is broken")

    monkeypatch.setattr(room, "run_session", fail)
    with pytest.raises(Fail, match="a node is broken"):
        OnnxEngine(small_weights(), threads=1).run(np.zeros((1, 8, 8), np.float32))


# --- export ---


@pytest.mark.parametrize("scale", [None, 2, 2.5])
@pytest.mark.parametrize("fields", MODELS, ids=str)
def test_an_export_is_checked_before_it_is_written(tmp_path: Path, fields: dict[str, Any], scale: float | None) -> None:
    weights = random_weights(fields)
    checked = export(weights, tmp_path / "tiny.onnx", scale=scale)
    assert checked.engine == choose(weights).name
    assert checked.difference <= (1e-5 if scale is None else 1)
    proto = model(weights) if scale is None else picture_model(weights, scale)
    assert (tmp_path / "tiny.onnx").read_bytes() == proto.SerializeToString()
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.onnx"]


def other_weights(weights: Weights, *rest: Any) -> onnx.ModelProto:
    return model(small_weights(seed=1), *rest)


def nothing_but_ilr(weights: Weights, *rest: Any) -> onnx.ModelProto:
    return model(small_weights(gain=1e-4), *rest)


@pytest.mark.parametrize("broken", [other_weights, nothing_but_ilr])
def test_a_graph_that_computes_something_else_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: Callable[..., onnx.ModelProto]
) -> None:
    (tmp_path / "tiny.onnx").write_bytes(b"mine")
    monkeypatch.setattr("drrn.engines.export.model", broken)
    with pytest.raises(EngineError, match=r"differs from .* by 0\.\d+ \(at most 0.0001\).* No file was written"):
        export(small_weights(), tmp_path / "tiny.onnx", overwrite=True)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"mine"]


def test_a_graph_with_another_bicubic_kernel_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel with a = -0.75, as in OpenCV and torch."""
    a = -0.75
    theirs = [[0, 1, 0, 0], [a, 0, -a, 0], [-2 * a, -a - 3, 2 * a + 3, a], [a, a + 2, -a - 2, -a]]
    monkeypatch.setattr("drrn.engines.onnx_graph.KEYS", np.array(theirs, np.float32))
    with pytest.raises(EngineError, match=r"\(at most 1\), and in .*% of the samples \(at most 1%\)"):
        export(small_weights(), tmp_path / "tiny.onnx", scale=2)
    assert not list(tmp_path.iterdir())


def test_a_graph_that_truncates_instead_of_rounding_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No sample is off by more than one level, but half of them are."""

    def cut_off(*args: Any) -> onnx.ModelProto:
        proto = picture_model(*args)
        (half,) = [
            t
            for t in proto.graph.initializer
            if t.data_type == onnx.TensorProto.FLOAT and not t.dims and numpy_helper.to_array(t) == 0.5
        ]
        half.CopyFrom(numpy_helper.from_array(np.zeros((), np.float32), half.name))
        return proto

    monkeypatch.setattr("drrn.engines.export.picture_model", cut_off)
    with pytest.raises(EngineError, match=r"by 1 \(at most 1\), and in \d\d\.\d\d% of the samples \(at most 1%\)"):
        export(small_weights(), tmp_path / "tiny.onnx", scale=2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("scale", [None, 2])
def test_weights_with_non_finite_results_are_not_exported(tmp_path: Path, scale: float | None) -> None:
    with pytest.raises(EngineError, match="by nan"):
        export(small_weights(gain=1e30), tmp_path / "tiny.onnx", scale=scale)
    assert not list(tmp_path.iterdir())


def test_an_export_replaces_files_only_on_request(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(b"mine")
    with pytest.raises(DRRNError, match=r"tiny.onnx exists. Give another name, or --overwrite."):
        export(small_weights(), path)
    assert [found.read_bytes() for found in tmp_path.iterdir()] == [b"mine"]
    export(small_weights(), path, overwrite=True)
    assert onnx.load(path).graph.node


def test_units_outside_the_trained_range_are_not_exported(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="random can't run 3 units: trained for 1 to 2 units"):
        export(small_weights(trained_units=(1, 2)), tmp_path / "tiny.onnx", units=3)


@pytest.mark.slow
def test_exporting_needs_no_torch_and_prints_nothing() -> None:
    code = """
import sys
sys.modules["torch"] = None  # importing it fails
from pathlib import Path
from tempfile import TemporaryDirectory
from drrn.engines.selection import choose
from drrn.engines.export import export
from tests.small_weights import random_weights, small_weights

with TemporaryDirectory() as folder:
    for scale in (None, 3):
        export(small_weights(batch_norm=True), Path(folder) / "tiny.onnx", scale=scale, overwrite=True)
choose(small_weights(), engine="onnx")
"""
    assert run_in_process(code) == ""
