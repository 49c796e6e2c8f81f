"""Races are run in turn, and what a page says of them follows from what was measured."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drrn.apps import cli
from drrn.core.metrics import EQUAL, psnr
from drrn.engines.pytorch import TorchEngine
from drrn.errors import DataError, EngineError, UsageError, WeightsError
from drrn.evaluation.contenders import RUNNERS, UNTRAINED, example, network, untrained, with_norms
from drrn.evaluation.peers import PEERS, macs, parameters
from drrn.evaluation.performance import Growth, Report, Row, to_markdown
from drrn.evaluation.plot import fastest, plot
from drrn.evaluation.race import Course, race
from drrn.evaluation.worker import Contender, Worker
from drrn.media.image import Image
from drrn.media.images.files import probe, write
from drrn.weights import store
from tests.small_weights import small_weights


def row(**fields: Any) -> Row:
    """A row that took a second for a megapixel of a thousand multiply-adds each."""
    usual: dict[str, Any] = {
        "race": "runners",
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
    command="drrn bench tiny",
    side=1000,
    threads=2,
    data="Set5",
    rows=[
        row(race="peak", network="matrix product", seconds=[0.03, 0.02, 0.04]),
        row(seconds=[9.0, 1.0, 1.0], agreement=128.4, psnr=36.5),
        row(runner="torch", seconds=[2.5], psnr=None),
        row(runner="torch.compile", seconds=[0.5], agreement=EQUAL),
        row(runner="OpenVINO, int8", seconds=[0.125], agreement=31, psnr=36.25),
        row(race="networks"),
        row(race="networks", network="VDSR", runner="ONNX Runtime", seconds=[9.0]),
        row(race="networks", network="VDSR", runner="OpenVINO", seconds=[8.0]),
        row(race="networks", network="bicubic x2", runner="NumPy", macs=0, parameters=0, seconds=[0.01]),
        row(race="threads", threads=1, seconds=[3.0]),
        row(race="threads", threads=2, seconds=[2.0]),
    ],
    growth=[
        Growth("tiny", "native", 125, 2000, 0.25, 20),
        Growth("tiny", "native", 500, 2000, 1.0, 20.2),
        Growth("tiny", "torch", 125, 2000, 0.5, 60),
    ],
    left_out=["OpenVINO was left out: No module named 'openvino'."],
)


def cells(page: str, start: str) -> list[str]:
    """Of the one line of a table that begins so."""
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {start}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_page_follows_from_the_json_alone() -> None:
    again = Report.from_json(REPORT.to_json())
    assert again == REPORT
    assert to_markdown(again, "p.png") == to_markdown(REPORT, "p.png")


def test_a_page_says_what_was_measured() -> None:
    page = to_markdown(REPORT, "speed.png")
    assert "`drrn bench tiny` at commit abc on Abacus with 2 cores, Linux x86_64, 2 threads; python 3.11" in page
    assert "](speed.png)" in page and "100 on 2 threads" in page  # the best of its laps
    assert cells(page, "torch ") == ["torch", "2.50", "1.50", "2.50", "20", "1", "1%", "", ""]
    assert cells(page, "torch.compile")[3:] == ["0.500", "20", "4", "4%", "equal", ""]
    assert cells(page, "OpenVINO, int8")[-2:] == ["31", "36.250 (-0.250)"]
    assert cells(page, "bicubic x2")[1:] == ["NumPy", "", "", "0.0100", "1.50", "0.0100", "20", "", ""]
    assert "| native |     3.00 |      2.00 |     1.50 |" in page
    assert cells(page, "0.25") == ["0.25", "0.250", "1.00", "20", "0.500", "2.00", "60"]
    assert cells(page, "1  ") == ["1", "1.00", "1.00", "20", "", "", ""]
    assert "* OpenVINO was left out: No module named 'openvino'." in page


def test_a_page_without_scores_has_no_column_for_them() -> None:
    rows = [replace(each, psnr=None) for each in REPORT.rows]
    assert "Set5" not in to_markdown(replace(REPORT, rows=rows))


def test_a_median_is_not_moved_by_one_slow_lap() -> None:
    slow = row(seconds=[9.0, 1.0, 1.0], pixels=500_000)
    assert slow.seconds_per_megapixel == 2
    assert slow.gflops == 1


def test_the_fastest_of_each_network_is_drawn(tmp_path: Path) -> None:
    best = fastest(REPORT.of("networks"))
    assert [(each.network, each.runner) for each in best] == [
        ("tiny", "native"),
        ("VDSR", "OpenVINO"),
        ("bicubic x2", "NumPy"),
    ]
    plot(REPORT, tmp_path / "speed.png")
    assert probe(tmp_path / "speed.png").width > 1000
    plot(replace(REPORT, growth=[], rows=REPORT.rows[:5]), tmp_path / "speed.png")  # without peers


# what PERFORMANCE.md, section 5, and the papers say
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
def test_a_peer_is_the_published_network(name: str, work: int, size: float) -> None:
    model = PEERS[name].model()
    assert macs(model) == work
    assert parameters(model) == pytest.approx(size, rel=0.02)


@pytest.mark.parametrize("name", [name for name in PEERS if name != "RRDBNet x4"])  # which takes a while
def test_a_peer_enlarges(name: str) -> None:
    peer = network(name)
    lr = example(peer, 24, 32)
    assert lr.shape == (peer.channels, 24 // peer.scale, 32 // peer.scale)
    sr = RUNNERS["onnxruntime"].start(peer, 1, None).run(lr)
    assert sr.shape == (peer.channels, 24, 32)
    assert np.isfinite(sr).all()


def test_every_peer_is_a_valid_graph() -> None:
    import onnx

    for peer in PEERS.values():
        onnx.checker.check_model(peer.model(), full_check=True)


@pytest.mark.parametrize("config", UNTRAINED.values(), ids=UNTRAINED)
def test_untrained_networks_stay_finite_and_do_something(config: Any) -> None:
    ilr = np.random.default_rng(0).random((1, 12, 12), np.float32)
    detail = TorchEngine(untrained(config), device="cpu").run(ilr) - ilr
    assert 0.01 < np.abs(detail).mean() < 1


@pytest.mark.parametrize("batch_norm", [False, True])
def test_norms_that_change_nothing_are_added_where_there_are_none(batch_norm: bool) -> None:
    weights = small_weights(batch_norm=batch_norm)
    normed = with_norms(weights)
    assert normed.config.batch_norm
    ilr = np.random.default_rng(0).random((1, 20, 20), np.float32)
    plain, more = (TorchEngine(each, device="cpu").run(ilr) for each in (weights, normed))
    assert np.abs(plain - more).max() <= 1e-6


@pytest.fixture
def no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large products take long."""
    monkeypatch.setattr(Course, "peak", lambda *_: [])


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


@pytest.mark.full
def test_all_that_is_asked_for_is_raced(tiny: str, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for side in ("PRODUCT_SIDE", "CONVOLUTION_SIDE"):
        monkeypatch.setattr(f"drrn.evaluation.race.{side}", 32)
    said: list[str] = []
    runners = ["reference", "torch", "torch-bfloat16", "openvino-int8"]
    report = race(
        [tiny], runners=runners, with_peers=False, side=32, rounds=2, threads=1, data=pictures, note=said.append
    )
    raced = report.of("runners")
    assert [each.runner for each in raced] == ["NumPy", "torch eager, channels last", "torch eager, bfloat16"]
    assert report.left_out == ["OpenVINO, int8 was left out: it needs a folder of pictures for its calibration."]
    assert report.networks == ["tiny"] and report.of("networks") == [] and report.of("threads") == []
    for each in raced:
        assert len(each.seconds) == len(each.cpu_seconds) == 2 and min(each.seconds) > 0
        assert (each.pixels, each.macs) == (32 * 32, small_weights(unshuffle=2).config.macs())
        assert 0 <= each.peak_mb < 500
    exact, torch, rounded = (each.agreement for each in raced)
    assert torch is None  # it is what the others are held against
    assert exact is not None and rounded is not None and exact > 100 > rounded > 30
    assert [each.psnr is None for each in raced] == [False, True, False]
    assert report.peak(1) > 0 and report.data == "pictures"
    assert [each.network for each in report.of("peak")] == 2 * ["matrix product", *2 * ["wide convolutions"]]
    laps = [sentence for sentence in said if "lap" in sentence and sentence.startswith(tiny)]
    turn = [sentence.split(", 1 thread")[0].split(", ", 1)[1] for sentence in laps]
    assert turn == 2 * [each.runner for each in raced]  # one after another, and not each by itself


def test_int8_is_calibrated_and_is_near(tiny: str, pictures: Path) -> None:
    with Worker(Contender(tiny, "openvino-int8", 1, 32, 32, str(pictures))) as int8:
        int8.lap()
        made = int8.made()
    raced = network(tiny)
    assert raced.weights is not None
    exact = TorchEngine(raced.weights, device="cpu").run(example(raced, 32, 32))
    assert 20 < psnr(made, exact, peak=1) < 100


@pytest.mark.full
@pytest.mark.usefixtures("no_peak")
def test_peers_are_raced_to_the_same_size(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drrn.evaluation.race.peers", lambda: ["ESPCN x2"])
    other = str(Path(tiny).with_name("other.safetensors"))
    store.save(small_weights(width=4), Path(other))
    models = [tiny, other, "B1U9-32"]
    rows = race(models, runners=["native", "onnxruntime"], side=16, rounds=1, threads=1).of("networks")
    assert [(each.network, each.runner) for each in rows] == [
        ("tiny", "native"),
        ("tiny", "ONNX Runtime"),
        ("other", "native"),
        ("bicubic x2", "NumPy"),
        ("ESPCN x2", "ONNX Runtime"),
    ]
    assert {each.pixels for each in rows} == {16 * 16}


@pytest.mark.usefixtures("no_peak")
def test_what_is_not_installed_is_left_out_with_a_sentence(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\")")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    report = race([tiny], runners=["reference", "torch", "torch-nchw"], with_peers=False, side=16, rounds=1, threads=1)
    assert [each.runner for each in report.of("runners")] == ["NumPy"]
    assert report.left_out == [
        "torch eager, NCHW was left out: No module named 'torch'.",
        "torch eager, channels last was left out: No module named 'torch'.",
    ]


def test_a_bug_in_a_process_keeps_its_traceback(tiny: str) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)Traceback.*`height` and `width` must be at least 1"):
        Worker(Contender(tiny, "reference", 1, 0, 0))


def test_a_process_that_dies_is_named(tiny: str) -> None:
    with Worker(Contender(tiny, "reference", 1, 16, 16)) as asked:
        asked.process.kill()
        asked.process.wait()
        with pytest.raises(EngineError, match=r"that runs .*tiny.safetensors by reference ended with -9"):
            asked.lap()


def test_memory_is_that_of_the_run_alone(tiny: str) -> None:
    """1000 rows through torch take some 45 MB that 40 do not; what was imported, some 200, does not count."""
    taken = []
    for height in (40, 1000):
        with Worker(Contender(tiny, "torch", 1, height, 1000)) as asked:
            asked.lap()
            taken.append(asked.lap().peak_mb)
    assert taken[0] < 100 and taken[0] + 20 < taken[1] < 200


def test_a_race_of_models_that_do_not_exist_ends_before_it_begins() -> None:
    with pytest.raises(WeightsError, match="No weights named 'x5'"):
        race(["x5"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runners": ["abacus"]}, "Nothing called 'abacus' can run a network. Known: native, reference, "),
        ({"side": 34}, "A side must be a multiple of 4 and at least 16, got 34"),
        ({"rounds": 0}, "There must be at least 1 round, got 0"),
    ],
)
def test_what_can_not_be_raced_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        race(**options)


def test_a_folder_that_is_not_there_ends_a_race_before_it_begins(tiny: str) -> None:
    with pytest.raises(DataError, match="No folder absent"):
        race([tiny], data=Path("absent"))


@pytest.mark.usefixtures("no_peak")
def test_the_command_writes_page_json_and_plot(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    names = {"--markdown": "docs/speed.md", "--json": "speed.json", "--plot": "docs/speed.png"}
    options = ["--only", "reference", "torch", "--no-peers", "--side", "16", "--rounds", "1", "--threads", "2"]
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", tiny, *options, *(word for pair in names.items() for word in pair)])
    assert ended.value.code == 0
    report = Report.from_json((tmp_path / "speed.json").read_text())
    assert (tmp_path / "docs" / "speed.md").read_text() == to_markdown(report, "speed.png")
    assert capsys.readouterr().out == to_markdown(report)
    assert probe(tmp_path / "docs" / "speed.png").format == "PNG"
    assert [(each.runner, each.threads) for each in report.of("threads")] == [
        ("torch eager, channels last", 1),
        ("torch eager, channels last", 2),
    ]
    assert list(json.loads(report.to_json())["machine"]) == ["cpu", "cores", "system"]


@pytest.mark.full
@pytest.mark.usefixtures("no_peak")
def test_memory_does_not_grow_with_height_where_the_engine_streams(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("drrn.engines._native", reason="not compiled here")
    monkeypatch.setattr("drrn.evaluation.race.GROWN", {"native": (100, 4000), "torch": (100, 1000)})
    monkeypatch.setattr("drrn.evaluation.race.GROWN_WIDTH", 500)
    monkeypatch.setattr("drrn.evaluation.race.GROWING_SECONDS", 0.1)
    options: Any = {"runners": ["native", "torch"], "with_peers": False, "with_growth": True}
    low, high, torch_low, torch_high = race([tiny], side=16, rounds=1, threads=1, **options).growth
    assert (low.runner, low.height, low.width, high.megapixels) == ("native", 100, 500, 2)
    assert high.peak_mb < low.peak_mb + 4  # 2 megapixels are 8 MB
    assert torch_high.peak_mb > 2 * torch_low.peak_mb
