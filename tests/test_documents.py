"""What the documents say is so: their commands run, and their figures stand in the files that commands wrote."""

import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drrn.apps import cli
from drrn.evaluation import performance
from drrn.evaluation.cards import card
from drrn.evaluation.table import to_markdown
from drrn.media.image import Image
from drrn.media.images.files import write
from drrn.study.claims import judge
from drrn.study.experiments import BUDGETS, LISTS
from drrn.study.figures import FIGURES
from drrn.study.page import to_html
from drrn.study.report import to_markdown as to_page
from drrn.study.report import verdicts
from drrn.study.result import load, to_json
from drrn.weights import DEFAULT, store
from tests.conftest import ROOT
from tests.small_vgg import small_vgg
from tests.study.made_results import made_results

README = (ROOT / "README.md").read_text()
MODELS = (ROOT / "docs/models.md").read_text()
PRESETS = (ROOT / "docs/presets.md").read_text()
CHEAPER = shlex.split("--epochs 1 --epoch-steps 2 --batch-size 4 --sheet-every 0 --validation-patches 8")


def blocks(language: str, page: str = README) -> list[str]:
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    return found


def commands(language: str, page: str = README) -> list[str]:
    lines = [line for block in blocks(language, page) for line in block.splitlines() if line.startswith("drrn ")]
    return [line.split("  #")[0].strip() for line in lines]


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder as the README's user has it."""
    folder = tmp_path / "desk"
    folder.mkdir()
    chance = np.random.default_rng(0)
    for name in ("photo.png", "scan.tif"):
        write(Image(pixels=chance.random((600, 800, 1), np.float32)[::8, ::8]), folder / name)
    write(Image(pixels=chance.random((20, 500, 3), np.float32)), folder / "photo.png", overwrite=True)
    (folder / "photos").mkdir()
    (folder / "presets").symlink_to(ROOT / "presets")
    for number in range(3):
        write(Image(pixels=chance.random((64, 64, 3), np.float32)), folder / "photos" / f"{number}.png")
    shutil.copytree(folder / "photos", folder / "data/Set5")
    import torch

    shapes = [(4, 1, 3, 3), (4, 4, 3, 3), (4, 4, 3, 3), (1, 4, 3, 3)]
    torch.save({f"{i}": torch.zeros(shape) for i, shape in enumerate(shapes)}, folder / "port.pth")
    (folder / "mine.py").write_text(next(block for block in blocks("python") if "EXPERIMENTS" in block))
    for result in made_results(LISTS["sharing"], seeds=1, budget="quick").all:
        run = folder / "study/quick" / result.name / "seed-0"
        run.mkdir(parents=True)
        rows = tuple(replace(row, data="held out") for row in result.scores[:2])
        of_photos = replace(result, data={**result.data, "folders": ["photos"]}, scores=rows)
        (run / "result.json").write_text(to_json(of_photos))
    for name in ("vgg16.pth", "lpips.pth"):
        torch.save(small_vgg(linear=name == "lpips.pth"), folder / name)
    return folder


PAGES = {"README": README, "models": MODELS, "presets": PRESETS}
CHEAP_STUDY = {"epochs": 1, "epoch_steps": 2, "batch_size": 4, "validation_patches": 8}


@pytest.mark.filterwarnings("default")  # a user sees no warnings of libraries
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_the_documents_run_in_the_order_they_stand(
    desk: Path, page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(desk)
    monkeypatch.setitem(BUDGETS, "quick", replace(BUDGETS["quick"], pictures=3, recipe=CHEAP_STUDY))
    for line in commands("sh", PAGES[page]):
        with pytest.raises(SystemExit) as ended:
            cli.main(cheaper(line))
        assert ended.value.code in (0, None), f"{line}\n{capsys.readouterr().err}"


@pytest.mark.full
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_the_documents_run_in_processes_of_their_own(desk: Path, page: str) -> None:
    for line in commands("sh", PAGES[page]):
        words = [sys.executable, "-m", "drrn", *cheaper(line)]
        ended = subprocess.run(words, cwd=desk, capture_output=True, text=True, timeout=600)
        assert ended.returncode == 0, f"{line}\n{ended.stderr}"


def cheaper(line: str) -> list[str]:
    """The words of a command, with options that make it short."""
    words = shlex.split(line)[1:]
    if words[0] == "tune":
        words += [*CHEAPER, "--trials", "2", "--widths", "4", "--units", "0", "1"]
    if words[:2] == ["study", "run"]:
        named = [word for word in words[2 : words.index("--data")] if word.endswith(".py")]
        words = ["study", "run", *(named or ["B1U1"]), *words[words.index("--data") :], "--seeds", "1"]
    if words[0] == "train":
        words += CHEAPER
        if "--start" not in words and "--width" not in words:
            words += ["--width", "4", "--units", "1"]
    return words


def test_the_judging_of_the_readme_finds_the_published_rows(desk: Path, data: Path) -> None:
    shutil.rmtree(desk / "data")
    (desk / "data").symlink_to(data)
    line = next(line for line in commands("sh") if line.startswith("drrn evaluate --data"))
    words = [sys.executable, "-m", "drrn", *shlex.split(line)[1:]]
    ended = subprocess.run(words, cwd=desk, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0 and "SRCNN" in ended.stdout, ended.stderr


def test_the_python_of_the_readme_runs(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    for code in blocks("python"):
        exec(code.replace("10_000", "100"), {"__name__": "__main__"})
    assert (desk / "photo_large.png").exists()


def test_the_readmes_table_is_the_one_that_the_command_wrote() -> None:
    written = (ROOT / "docs" / "results.md").read_text()
    (shown,) = re.findall(r"<!-- results -->\n(.*)<!-- /results -->", README, re.DOTALL)
    assert shown.strip() == written.strip()


def test_the_table_is_made_of_the_json_beside_it() -> None:
    import json

    from drrn.evaluation.benchmark import ImageScore, Row

    rows = [
        Row(**{**row, "images": [ImageScore(**image) for image in row["images"]]})
        for row in json.loads((ROOT / "docs" / "results.json").read_text())
    ]
    assert to_markdown(rows) == (ROOT / "docs" / "results.md").read_text()
    ours = {(row.data, row.scale): row for row in rows if row.model == DEFAULT}
    assert set(ours) == {(data, scale) for data in ("Set5", "Set14", "BSD100") for scale in (2, 3, 4)}


def test_the_table_of_models_is_the_one_that_the_command_wrote() -> None:
    written = (ROOT / "docs/family.md").read_text()
    for page in (README, MODELS):
        for shown in re.findall(r"<!-- family -->\n(.*)<!-- /family -->", page, re.DOTALL):
            assert shown.strip() == written.strip()
    head, _, *models = [line for line in written.splitlines() if line.startswith("|")]
    assert {line.split()[1] for line in models} == set(store.names()) and "| s/MP |" in head


def test_the_page_on_speed_is_made_of_the_json_beside_it() -> None:
    report = performance.Report.from_json((ROOT / "docs/performance.json").read_text())
    assert (ROOT / "docs/performance.md").read_text() == performance.to_markdown(report, "performance.png")


def test_the_study_is_made_of_the_results_beside_it() -> None:
    folder = ROOT / "docs/study"
    results = load(folder / "results")
    drawn = [name for name in FIGURES if (folder / f"figures/{name}.svg").exists()]
    text = (folder / "study.md").read_text()
    assert text == to_page(results, drawn)
    assert (folder / "index.html").read_text() == to_html(text, folder)
    assert README.partition("<!-- study -->")[2].partition("<!-- /study -->")[0].strip() == verdicts(judge(results))


def test_every_packaged_model_has_its_card() -> None:
    assert DEFAULT in store.names()
    for name in store.names():
        weights = store.load(name)
        assert {"data", "recipe", "command", "seed", "commit", "scores", "protocol"} <= set(weights.card)
        plot = f"{name}.png" if (ROOT / "models" / f"{name}.png").exists() else ""
        assert (ROOT / "models" / f"{name}.md").read_text() == card.to_markdown(weights, plot=plot)


def test_links_of_the_documents_lead_somewhere() -> None:
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_help_names_no_command_that_the_readme_lacks() -> None:
    from drrn.apps import cli

    for name in cli.COMMANDS:
        assert f"drrn {name}" in README
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    for name in cli.MODELS:
        assert f"drrn models {name}" in (contributing if name in ("pack", "join") else README)
