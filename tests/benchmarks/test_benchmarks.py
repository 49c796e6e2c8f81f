"""Benchmarks: cases take turns, and the page follows from the measurements."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import overhead
from benchmarks.baselines import BASELINES, macs, parameters
from benchmarks.networks import UNTRAINED, example_input, load_network, random_weights, with_batch_norm
from benchmarks.page import to_markdown
from benchmarks.plot import fastest, plot
from benchmarks.report import Growth, Report, Row
from benchmarks.run import Session, Settings, benchmark
from benchmarks.runners import RUNNERS
from benchmarks.worker import Case, Worker
from drrn.core.metrics import EQUAL, psnr
from drrn.engines.pytorch import TorchEngine
from drrn.errors import DataError, EngineError, UsageError, WeightsError
from drrn.media.image import Image
from drrn.media.images.files import probe, write
from drrn.weights import store
from tests.small_weights import small_weights


def row(**fields: Any) -> Row:
    """A row of one second per megapixel at a thousand multiply-adds per pixel."""
    usual: dict[str, Any] = {
        "group": "runners",
        "network": "tiny",
        "runner": "native",
        "threads": 2,
        "pixels": 1_000_000,
        "macs": 1000,
        "parameters": 12_345,
        "seconds": [1.0],
        "cpu_seconds": [1.5],
        "peak_mb": 20.0,
    }
    return Row(**{**usual, **fields})


REPORT = Report(
    machine={"cpu": "Abacus", "cores": "2", "system": "Linux x86_64"},
    versions={"python": "3.11", "numpy": "2.4"},
    commit="abc",
    command="python -m benchmarks tiny",
    side=1000,
    threads=2,
    data="Set5",
    rows=[
        row(group="peak", network="matrix product", seconds=[0.03, 0.02, 0.04]),
        row(seconds=[9.0, 1.0, 1.0], agreement=128.4, psnr=36.5),
        row(runner="torch", seconds=[2.5], psnr=None),
        row(runner="torch.compile", seconds=[0.5], agreement=EQUAL),
        row(runner="OpenVINO, int8", seconds=[0.125], agreement=31, psnr=36.25),
        row(group="networks"),
        row(group="networks", network="VDSR", runner="ONNX Runtime", seconds=[9.0]),
        row(group="networks", network="VDSR", runner="OpenVINO", seconds=[8.0]),
        row(group="networks", network="bicubic x2", runner="NumPy", macs=0, parameters=0, seconds=[0.01]),
        row(group="threads", threads=1, seconds=[3.0]),
        row(group="threads", threads=2, seconds=[2.0]),
    ],
    growth=[
        Growth("tiny", "native", 125, 2000, 0.25, 20),
        Growth("tiny", "native", 500, 2000, 1.0, 20.2),
        Growth("tiny", "torch", 125, 2000, 0.5, 60),
    ],
    left_out=["OpenVINO was left out: No module named 'openvino'."],
)


def cells(page: str, start: str) -> list[str]:
    """The cells of the one table line that begins with `start`."""
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {start}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_page_follows_from_the_json_alone() -> None:
    again = Report.from_json(REPORT.to_json())
    assert again == REPORT
    assert to_markdown(again, "p.png") == to_markdown(REPORT, "p.png")


def test_the_page_shows_the_measurements() -> None:
    page = to_markdown(REPORT, "speed.png")
    assert (
        "`python -m benchmarks tiny` at commit abc on Abacus with 2 cores, Linux x86_64, 2 threads; python 3.11" in page
    )
    assert "](speed.png)" in page and "100 on 2 threads" in page  # of its fastest repeat
    assert cells(page, "torch ") == ["torch", "2.50", "1.50", "2.50", "20", "1", "1%", "", ""]
    assert cells(page, "torch.compile")[3:] == ["0.500", "20", "4", "4%", "equal", ""]
    assert cells(page, "OpenVINO, int8")[-2:] == ["31", "36.250 (-0.250)"]
    assert cells(page, "bicubic x2")[1:] == ["NumPy", "", "", "0.0100", "1.50", "0.0100", "20", "", ""]
    assert "| native |     3.00 |      2.00 |     1.50 |" in page
    assert cells(page, "0.25") == ["0.25", "0.250", "1.00", "20", "0.500", "2.00", "60"]
    assert cells(page, "1  ") == ["1", "1.00", "1.00", "20", "", "", ""]
    assert "* OpenVINO was left out: No module named 'openvino'." in page


def test_a_page_without_psnr_has_no_column_for_it() -> None:
    rows = [replace(each, psnr=None) for each in REPORT.rows]
    assert "Set5" not in to_markdown(replace(REPORT, rows=rows))


def test_one_slow_repeat_does_not_move_the_median() -> None:
    slow = row(seconds=[9.0, 1.0, 1.0], pixels=500_000)
    assert slow.seconds_per_megapixel == 2
    assert slow.gflops == 1


@pytest.mark.slow
def test_the_plot_shows_the_fastest_runner_of_each_network(tmp_path: Path) -> None:
    best = fastest(REPORT.of("networks"))
    assert [(each.network, each.runner) for each in best] == [
        ("tiny", "native"),
        ("VDSR", "OpenVINO"),
        ("bicubic x2", "NumPy"),
    ]
    plot(REPORT, tmp_path / "speed.png")
    assert probe(tmp_path / "speed.png").width > 1000
    plot(replace(REPORT, growth=[], rows=REPORT.rows[:5]), tmp_path / "speed.png")  # without baselines


# the numbers of the papers
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "work", "size"),
    [
        ("FSRCNN x2", 3_116, 13e3),
        ("ESPCN x2", 5_296, 21e3),
        ("SRCNN 9-5-5", 57_184, 57e3),
        ("Real-ESRGAN compact 16, x4", 38_700, 621e3),
        ("Real-ESRGAN compact 32, x4", 75_564, 1.21e6),
        ("EDSR baseline x2", 343_152, 1.37e6),
        ("VDSR", 664_704, 666e3),
        ("RRDBNet x4", 1_120_428, 16.7e6),
    ],
)
def test_a_baseline_is_the_published_network(name: str, work: int, size: float) -> None:
    model = BASELINES[name].model()
    assert macs(model) == work
    assert parameters(model) == pytest.approx(size, rel=0.02)


@pytest.mark.parametrize("name", [name for name in BASELINES if name != "RRDBNet x4"])  # that one is slow
def test_a_baseline_enlarges(name: str) -> None:
    baseline = load_network(name)
    lr = example_input(baseline, 24, 32)
    assert lr.shape == (baseline.channels, 24 // baseline.scale, 32 // baseline.scale)
    sr = RUNNERS["onnxruntime"].start(baseline, 1, None).run(lr)
    assert sr.shape == (baseline.channels, 24, 32)
    assert np.isfinite(sr).all()


@pytest.mark.slow
def test_every_baseline_is_a_valid_graph() -> None:
    import onnx

    for baseline in BASELINES.values():
        onnx.checker.check_model(baseline.model(), full_check=True)


@pytest.mark.parametrize("config", UNTRAINED.values(), ids=UNTRAINED)
def test_random_weights_stay_finite_and_change_the_image(config: Any) -> None:
    ilr = np.random.default_rng(0).random((1, 12, 12), np.float32)
    detail = TorchEngine(random_weights(config), device="cpu").run(ilr) - ilr
    assert 0.01 < np.abs(detail).mean() < 1


@pytest.mark.parametrize("batch_norm", [False, True])
def test_added_batch_norms_change_nothing(batch_norm: bool) -> None:
    weights = small_weights(batch_norm=batch_norm)
    normed = with_batch_norm(weights)
    assert normed.config.batch_norm
    ilr = np.random.default_rng(0).random((1, 20, 20), np.float32)
    plain, more = (TorchEngine(each, device="cpu").run(ilr) for each in (weights, normed))
    assert np.abs(plain - more).max() <= 1e-6


@pytest.fixture
def no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the large products: they are slow."""
    monkeypatch.setattr(Session, "peak", lambda *_: [])


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    store.save(small_weights(unshuffle=2), tmp_path / "tiny.safetensors")
    return str(tmp_path / "tiny.safetensors")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    coarse = 0.2 + 0.6 * np.random.default_rng(0).random((8, 8, 1), np.float32)
    write(Image(pixels=coarse.repeat(8, axis=0).repeat(8, axis=1)), tmp_path / "pictures" / "a.png")
    return tmp_path / "pictures"


def run(models: list[str], progress: Any = print, **settings: Any) -> Report:
    few: dict[str, Any] = {"side": 16, "repeats": 1, "threads": 1, "with_baselines": False}
    return benchmark(Settings(models=models, **{**few, **settings}), progress=progress)


@pytest.mark.full
def test_every_runner_is_measured_in_turn(tiny: str, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for side in ("PRODUCT_SIDE", "CONVOLUTION_SIDE"):
        monkeypatch.setattr(f"benchmarks.run.{side}", 32)
    reported: list[str] = []
    runners = ["reference", "torch", "torch-bfloat16", "openvino-int8"]
    report = run([tiny], reported.append, runners=runners, side=32, repeats=2, data=pictures)
    rows = report.of("runners")
    assert [each.runner for each in rows] == ["NumPy", "torch eager, channels last", "torch eager, bfloat16"]
    assert report.left_out == ["OpenVINO, int8 was left out: it needs a folder of pictures for its calibration."]
    assert report.networks == ["tiny"] and report.of("networks") == [] and report.of("threads") == []
    for each in rows:
        assert len(each.seconds) == len(each.cpu_seconds) == 2 and min(each.seconds) > 0
        assert (each.pixels, each.macs) == (32 * 32, small_weights(unshuffle=2).config.macs())
        assert 0 <= each.peak_mb < 500
    exact, torch, rounded = (each.agreement for each in rows)
    assert torch is None  # the others are compared with it
    assert exact is not None and rounded is not None and exact > 100 > rounded > 30
    assert [each.psnr is None for each in rows] == [False, True, False]
    assert report.peak(1) > 0 and report.data == "pictures"
    assert [each.network for each in report.of("peak")] == 2 * ["matrix product", *2 * ["wide convolutions"]]
    repeats = [sentence for sentence in reported if "repeat" in sentence and sentence.startswith(tiny)]
    order = [sentence.split(", 1 thread")[0].split(", ", 1)[1] for sentence in repeats]
    assert order == 2 * [each.runner for each in rows]  # one after another, not each by itself


@pytest.mark.slow
def test_int8_is_calibrated_and_close_to_float32(tiny: str, pictures: Path) -> None:
    with Worker(Case(tiny, "openvino-int8", 1, 32, 32, str(pictures))) as int8:
        int8.run()
        result = int8.result()
    network = load_network(tiny)
    assert network.weights is not None
    exact = TorchEngine(network.weights, device="cpu").run(example_input(network, 32, 32))
    assert 20 < psnr(result, exact, peak=1) < 100


@pytest.mark.full
@pytest.mark.usefixtures("no_peak")
def test_networks_are_measured_at_one_size_of_result(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.run.baselines", lambda: ["ESPCN x2"])
    other = str(Path(tiny).with_name("other.safetensors"))
    store.save(small_weights(width=4), Path(other))
    models = [tiny, other, "B1U9-32"]
    rows = run(models, runners=["native", "onnxruntime"], with_baselines=True).of("networks")
    assert [(each.network, each.runner) for each in rows] == [
        ("tiny", "native"),
        ("tiny", "ONNX Runtime"),
        ("other", "native"),
        ("bicubic x2", "NumPy"),
        ("ESPCN x2", "ONNX Runtime"),
    ]
    assert {each.pixels for each in rows} == {16 * 16}


@pytest.mark.slow
@pytest.mark.usefixtures("no_peak")
def test_a_missing_runner_is_left_out_and_reported(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\")")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    report = run([tiny], runners=["reference", "torch", "torch-nchw"])
    assert [each.runner for each in report.of("runners")] == ["NumPy"]
    assert report.left_out == [
        "torch eager, NCHW was left out: No module named 'torch'.",
        "torch eager, channels last was left out: No module named 'torch'.",
    ]


@pytest.mark.full  # the naming itself is tested in tests/evaluation/test_naming.py
def test_models_with_the_same_name_have_separate_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    models = ["a/best.safetensors", "b/best.safetensors", "bicubic.safetensors"]
    for seed, name in enumerate(models):
        Path(name).parent.mkdir(exist_ok=True)
        store.save(small_weights(seed, width=4), Path(name))
    assert run(models, runners=["reference"]).networks == [*models[:2], "bicubic"]


def test_a_bug_in_a_worker_keeps_its_traceback(tiny: str) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)Traceback.*`height` and `width` must be at least 1"):
        Worker(Case(tiny, "reference", 1, 0, 0))


def test_a_worker_that_dies_is_named(tiny: str) -> None:
    with Worker(Case(tiny, "reference", 1, 16, 16)) as worker:
        worker.process.kill()
        worker.process.wait()
        with pytest.raises(EngineError, match=r"that runs .*tiny.safetensors by reference ended with -9"):
            worker.run()


@pytest.mark.slow
def test_peak_memory_excludes_the_imports(tiny: str) -> None:
    """torch needs about 45 MB more for 1000 rows than for 40; the imports, about 200 MB, do not count."""
    peaks = []
    for height in (40, 1000):
        with Worker(Case(tiny, "torch", 1, height, 1000)) as worker:
            worker.run()
            peaks.append(worker.run().peak_mb)
    assert peaks[0] < 100 and peaks[0] + 20 < peaks[1] < 200


@pytest.mark.slow
@pytest.mark.usefixtures("no_peak")
def test_a_network_that_keeps_flat_areas_is_not_run_with_batch_norms(tmp_path: Path) -> None:
    flat = str(tmp_path / "flat.safetensors")
    store.save(small_weights(flat=True, bias=False, unshuffle=2), Path(flat))
    report = run([flat], runners=["native", "torch-ports"])
    assert [each.runner for each in report.of("runners")] == ["native"]
    assert report.left_out == [
        "torch eager, NCHW, batch norms was left out: a network that keeps flat areas flat has no batch norms."
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("no_peak")
def test_slower_kernels_have_a_separate_row_if_the_cpu_has_faster_ones(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    native = pytest.importorskip("drrn.engines.native", reason="not compiled here")
    report = run([tiny], runners=["native", "native-avx2"])
    titles = [each.runner for each in report.of("runners")]
    assert titles == ["native", "native, AVX2"] if "avx2" in native.kernels_here()[1:] else ["native"]
    monkeypatch.setenv("DRRN_KERNELS", "baseline")
    assert run([tiny], runners=["native-avx2"]).left_out == [
        "native, AVX2 was left out: this CPU's fastest kernels are baseline."
    ]


def test_a_missing_model_ends_a_benchmark_before_it_begins() -> None:
    with pytest.raises(WeightsError, match="No weights named 'x5'"):
        benchmark(Settings(models=["x5"]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"runners": ["abacus"]}, r"^No runner is called 'abacus'\. Available: native, native-avx2, reference, "),
        ({"side": 34}, r"^--side must be a multiple of 4 and at least 16, got 34\.$"),
        ({"repeats": 0}, r"^--repeats must be at least 1, got 0\.$"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        benchmark(Settings(**settings))


def test_a_missing_folder_ends_a_benchmark_before_it_begins(tiny: str) -> None:
    with pytest.raises(DataError, match="No folder absent"):
        benchmark(Settings(models=[tiny], data=Path("absent")))


@pytest.mark.slow
@pytest.mark.usefixtures("no_peak")
def test_the_command_writes_page_json_and_plot(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    names = {"--markdown": "docs/speed.md", "--json": "speed.json", "--plot": "docs/speed.png"}
    options = [
        "--only",
        "reference",
        "onnxruntime",
        "--no-baselines",
        "--side",
        "16",
        "--repeats",
        "1",
        "--threads",
        "2",
    ]
    with pytest.raises(SystemExit) as ended:
        command.main([tiny, *options, *(word for pair in names.items() for word in pair)])
    assert ended.value.code == 0
    report = Report.from_json((tmp_path / "speed.json").read_text())
    assert (tmp_path / "docs" / "speed.md").read_text() == to_markdown(report, "speed.png")
    assert capsys.readouterr().out == to_markdown(report)
    assert probe(tmp_path / "docs" / "speed.png").format == "PNG"
    assert [(each.runner, each.threads) for each in report.of("threads")] == [
        ("ONNX Runtime", 1),
        ("ONNX Runtime", 2),
    ]
    assert list(json.loads(report.to_json())["machine"]) == ["cpu", "cores", "system"]


def test_the_command_ends_with_one_line_for_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--repeats", "0"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "benchmarks: --repeats must be at least 1, got 0.\n"


@pytest.mark.full
@pytest.mark.usefixtures("no_peak")
def test_memory_of_a_streaming_engine_does_not_grow_with_height(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("drrn.engines._native", reason="not compiled here")
    monkeypatch.setattr("benchmarks.run.GROWTH_HEIGHTS", {"native": (100, 4000), "torch": (100, 1000)})
    monkeypatch.setattr("benchmarks.run.GROWTH_WIDTH", 500)
    monkeypatch.setattr("benchmarks.run.GROWTH_SECONDS", 0.1)
    low, high, torch_low, torch_high = run([tiny], runners=["native", "torch"], with_growth=True).growth
    assert (low.runner, low.height, low.width, high.megapixels) == ("native", 100, 500, 2)
    assert high.peak_mb < low.peak_mb + 4  # 2 megapixels are 8 MB
    assert torch_high.peak_mb > 2 * torch_low.peak_mb


def test_overhead_is_what_a_command_takes_beyond_the_engine() -> None:
    small = {"`python -c pass`": overhead.Cost(0.02, 0.018)}
    large = {"the engine alone": overhead.Cost(4.5, 8.0), "`drrn upscale`": overhead.Cost(5.5, 10.0)}
    page = overhead.to_markdown(small, large, "tiny")
    assert "| `python -c pass` | 0.020 | 0.018 |" in page
    assert "| the engine alone |  | 8.0 | 100% |" in page and "| `drrn upscale` | 5.5 | 10.0 | 80% |" in page


def test_of_the_engine_alone_only_its_own_seconds_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overhead, "ENGINE", "print(1234.5)")
    assert overhead.measure([sys.executable, "-c", "print(1234.5)"]).cpu == 1234.5
    assert 0 < overhead.measure([sys.executable, "-c", "print()"]).cpu < 1234.5
