"""The documents are true: their commands run, and their numbers are in the files that commands wrote."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

import numpy as np
import pytest

from docs.write import __main__ as command
from docs.write import commands as reference
from docs.write import copies, drawings, man, performance, pictures, replace_between
from drrn.apps import cli
from drrn.apps.help import options_of
from drrn.evaluation.benchmark import evaluate
from drrn.evaluation.cards import card
from drrn.evaluation.table import to_markdown
from drrn.media.image import Image
from drrn.media.images.files import read, write
from drrn.study.experiments import BUDGETS, LISTS
from drrn.study.figures import FIGURES
from drrn.study.page import to_html
from drrn.study.parts import Verdict
from drrn.study.report import to_markdown as to_page
from drrn.study.result import load_results, to_json
from drrn.upscaling.upscaler import Upscaler
from drrn.weights import DEFAULT, store
from tests.conftest import ROOT
from tests.film_files import film
from tests.small_vgg import small_vgg
from tests.small_weights import small_weights
from tests.study.made_results import made_results

PARTS = ("", "tutorial", "how-to", "reference", "explanation")
"""Folders of docs/ with pages for users."""
FILES = [ROOT / "README.md", *sorted(path for part in PARTS for path in (ROOT / "docs" / part).glob("*.md"))]
PAGES = {path.stem: path.read_text() for path in FILES if path.stem != "index"}
"""All documents for users, by name."""
README = PAGES["README"]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
ALL = "\n".join(text for name, text in PAGES.items() if name != "LOG")
CHEAPER = shlex.split("--epochs 1 --epoch-steps 2 --batch-size 4 --sheet-every 0 --validation-patches 8")


NOT_RUN = {"pip install": "the tests run in what is installed", "tensorboard": "it runs until it is stopped"}
"""Beginnings of lines that no test runs, with the reason."""


def blocks(language: str, page: str) -> list[str]:
    """The blocks that a test runs: all without a preceding line that states why not."""
    matches: list[tuple[str, str]] = re.findall(
        rf"(<!-- not run: [^\n]+ -->\n\n)?```{language}\n(.*?)```", page, re.DOTALL
    )
    return [text for mark, text in matches if not mark]


def commands(page: str) -> list[str]:
    lines = [line for block in blocks("sh", page) for line in block.splitlines() if line.startswith("drrn ")]
    return [line.split("  #")[0].strip() for line in lines]


WITH_COMMANDS = [name for name, text in PAGES.items() if commands(text)]
WITH_PYTHON = [name for name, text in PAGES.items() if blocks("python", text)]


@pytest.fixture
def workspace(tmp_path: Path, workspace_template: Path) -> Path:
    """A folder of a user, with all files that the documents name."""
    return shutil.copytree(workspace_template, tmp_path / "workspace", symlinks=True)


@pytest.fixture(scope="session")
def workspace_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The original that `workspace` is a copy of."""
    folder = tmp_path_factory.mktemp("workspace")
    rng = np.random.default_rng(0)
    for name in ("photo.png", "scan.tif"):
        write(Image(pixels=rng.random((600, 800, 1), np.float32)[::8, ::8]), folder / name)
    write(Image(pixels=rng.random((20, 500, 3), np.float32)), folder / "photo.png", overwrite=True)
    (folder / "photos").mkdir()
    for name in ("presets", "samples", "docs"):
        (folder / name).symlink_to(ROOT / name)
    for number in range(3):
        write(Image(pixels=rng.random((64, 64, 3), np.float32)), folder / "photos" / f"{number}.png")
    shutil.copytree(folder / "photos", folder / "data/Set5")
    import torch

    shapes = [(4, 1, 3, 3), (4, 4, 3, 3), (4, 4, 3, 3), (1, 4, 3, 3)]
    torch.save({f"{i}": torch.zeros(shape) for i, shape in enumerate(shapes)}, folder / "port.pth")
    store.save(small_weights(), folder / "mine.safetensors")
    film(folder / "film.mp4")
    (folder / "mine.py").write_text(next(block for block in blocks("python", PAGES["experiments"])))
    for result in made_results(LISTS["sharing"], seeds=1, budget="quick").all:
        run = folder / "study/quick" / result.name / "seed-0"
        run.mkdir(parents=True)
        rows = tuple(replace(row, data="held out") for row in result.scores[:2])
        of_photos = replace(result, data={**result.data, "folders": ["photos"]}, scores=rows)
        (run / "result.json").write_text(to_json(of_photos))
    for name in ("vgg16.pth", "lpips.pth"):
        torch.save(small_vgg(linear=name == "lpips.pth"), folder / name)
    return folder


CHEAP_STUDY = {"epochs": 1, "epoch_steps": 2, "batch_size": 4, "validation_patches": 8}


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # a user sees no warnings of libraries
@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_the_commands_in_the_documents_run_in_order(
    workspace: Path, page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workspace)
    monkeypatch.setitem(BUDGETS, "quick", replace(BUDGETS["quick"], pictures=3, recipe=CHEAP_STUDY))
    for line in commands(PAGES[page]):
        with pytest.raises(SystemExit) as error:
            cli.main(shortened(line))
        assert error.value.code in (0, None), f"{line}\n{capsys.readouterr().err}"


@pytest.mark.full
@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_the_commands_in_the_documents_run_in_separate_processes(workspace: Path, page: str) -> None:
    for line in commands(PAGES[page]):
        words = [sys.executable, "-m", "drrn", *shortened(line)]
        process = subprocess.run(words, cwd=workspace, capture_output=True, text=True, timeout=600)
        assert process.returncode == 0, f"{line}\n{process.stderr}"


def shortened(line: str) -> list[str]:
    """The arguments of a command, with options that make it fast."""
    words = shlex.split(line)[1:]
    if words[0] in ("upscale", "compare") and not {"-m", "--model", "--models"} & set(words):
        words += ["--model", "tiny"]
    if words[0] == "tune":
        words += [*CHEAPER, "--trials", "2", "--widths", "4", "--units", "0", "1"]
    if words[:2] == ["study", "report"]:
        words = ["study/quick" if word == "docs/study/results" else word for word in words]  # fewer results
    if words[:2] == ["study", "run"]:
        named = [word for word in words[2 : words.index("--data")] if word.endswith(".py")]
        words = ["study", "run", *(named or ["B1U1"]), *words[words.index("--data") :], "--seeds", "1"]
    if words[0] == "train":
        words += CHEAPER
        if "--start" not in words and "--width" not in words:
            words += ["--width", "4", "--units", "1"]
    return words


def test_every_block_of_commands_and_code_runs_or_states_why_not() -> None:
    for name, page in PAGES.items():
        for line in "".join(blocks("sh", page)).splitlines():
            is_checked = line.startswith(("drrn ", "#", *NOT_RUN)) or not line.strip()
            assert is_checked, f"{name}: no test runs {line!r}; write <!-- not run: WHY --> above its block"
        for language in ("bash", "console", "shell"):
            assert not blocks(language, page), f"{name}: a block of {language} says why it is not run, or is one of sh"


EVERYWHERE = {
    path: path.read_text()
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if not path.is_relative_to(ROOT / "docs/log") and path.name != "LOG.md"
}
"""All documents of the site and on GitHub, including contents, the study and pages for developers."""
FENCE = re.compile(r"(<!-- not run: [^\n]+ -->\n\n)?^ *```([^\n]*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^\s*(\$ |(drrn|python3?|pip|make|curl|torchrun|docker|git) )", re.MULTILINE)


def unmarked(text: str) -> list[str]:
    """Blocks with code or commands in any language that do not state why they are not run."""
    return [
        block
        for mark, language, block in FENCE.findall(text)
        if not mark and (language in ("sh", "python", "bash", "console", "shell") or COMMAND.search(block))
    ]


def test_all_code_in_the_documents_is_run_or_marked() -> None:
    run = {text for page in PAGES.values() for language in ("sh", "python") for text in blocks(language, page)}
    found = [(path, block) for path, text in EVERYWHERE.items() for block in unmarked(text)]
    assert len(found) > 40
    assert [f"{path.relative_to(ROOT)}: {block}" for path, block in found if block not in run] == []
    for path, text in EVERYWHERE.items():
        indented = re.search(r"(?<=\n\n)    (drrn|make|python|pip) .*", text)
        assert not indented, f"{path.relative_to(ROOT)}: indented, so that no test sees it: {indented}"


def test_code_in_a_block_of_any_language_needs_a_mark() -> None:
    assert unmarked("```text\ndrrn a\n```\n") == unmarked("```\n$ drrn a\n```\n".replace("$ ", "")) == ["drrn a\n"]
    assert unmarked("```text\na result\n```\n\n<!-- not run: slow -->\n\n```python\na\n```\n") == []


WRITTEN_BY = re.compile(r"(?:[Ww]ritten|[Mm]ade|[Mm]easured)[ \n]by:?[ \n]`?((?:drrn|python|make) [^`>]+)")


def test_the_page_on_reproducing_lists_every_command_that_writes_a_page() -> None:
    page = PAGES["reproduce"]
    commands = [" ".join(line.split()) for text in EVERYWHERE.values() for line in WRITTEN_BY.findall(text)]
    assert len(commands) > 12
    for line in commands:
        words = line.split()
        kind = " ".join(words[: 3 if words[1] in ("-m", *cli.GROUPS) else 2])
        if kind == "python -m docs.write":
            kind = " ".join(words[:4])
        new_names = {"drrn bench": "make bench"}  # the name of that command when it measured docs/performance.json
        assert f"`{new_names.get(kind, kind)}" in page, f"docs/how-to/reproduce.md lacks {line}"


def test_a_block_marked_as_not_run_is_skipped() -> None:
    page = "```sh\ndrrn a\n```\n\n<!-- not run: slow -->\n\n```sh\ndrrn b\n```\n\n```sh\ndrrn c  # why\n```\n"
    assert commands(page) == ["drrn a", "drrn c"]


@pytest.mark.full
def test_the_documented_evaluation_finds_the_published_rows(workspace: Path, data: Path) -> None:
    shutil.rmtree(workspace / "data")
    (workspace / "data").symlink_to(data)
    line = next(line for line in commands(PAGES["evaluation"]) if line.startswith("drrn evaluate --data"))
    words = [sys.executable, "-m", "drrn", *shlex.split(line)[1:]]
    process = subprocess.run(words, cwd=workspace, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0 and "SRCNN" in process.stdout, process.stderr


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_PYTHON)
def test_the_python_code_in_the_documents_runs(workspace: Path, page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    names: dict[str, object] = {"__name__": "__main__"}  # like a notebook: blocks share their names
    code = "\n".join(blocks("python", PAGES[page]))
    for line in commands(PAGES[page]):
        if any(word.endswith(".onnx") and word in code for word in shlex.split(line)):
            with pytest.raises(SystemExit):
                cli.main(shortened(line))
    exec(code.replace("10_000", "100"), names)
    written = {"README": ["large.png"], "python": ["large.png", "array.png", "photo_x3.png"]}
    assert all((workspace / name).exists() for name in written.get(page, []))


@pytest.mark.slow
def test_the_image_in_the_readme_matches_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (line,) = re.findall(r"`(drrn compare [^`]*)`", " ".join(README.split()), re.DOTALL)[:1]
    *words, kept = shlex.split(line)[1:]
    assert words[-1] == "--output" and f"]({kept})" in README
    with pytest.raises(SystemExit):
        cli.main([*words, str(tmp_path / "again.png")])
    shown, again = read(ROOT / kept).pixels, read(tmp_path / "again.png").pixels
    assert shown.shape == again.shape and np.abs(shown - again).max() <= 2 / 255  # engines round otherwise


def test_the_seconds_in_the_readme_match_the_table() -> None:
    rows = [line.split("|") for line in (ROOT / "docs/family.md").read_text().splitlines() if line.startswith("| ")]
    column = [cell.strip() for cell in rows[0]].index("s/MP")
    pace = {row[1].split()[0]: float(row[column]) for row in rows[2:]}
    printed = re.search(
        r"A 12-megapixel photo, made twice as large, becomes (\d+) megapixels. The network needs about (\S+) seconds "
        r"for them with `(\w+)`, the default model, and (\S+) with `tiny`",
        " ".join(README.split()),
    )
    assert printed
    megapixels, default, name, tiny = printed.groups()
    assert (megapixels, name) == ("48", DEFAULT)
    for each, seconds in ((name, default), ("tiny", tiny)):
        assert float(seconds) == pytest.approx(48 * pace[each], rel=0.05)


@pytest.mark.slow
def test_copied_tables_match_those_that_commands_wrote() -> None:
    """The copies of docs/results.md, docs/family.md and the verdicts of the study."""
    written = copies.texts()
    assert len(written) == 3
    for path, text in written.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run make pages"


def test_a_document_without_marks_is_refused() -> None:
    assert replace_between("a <!-- x -->\nold<!-- /x --> b", "x", "new") == "a <!-- x -->\n\nnew\n\n<!-- /x --> b"
    with pytest.raises(ValueError, match="no marks <!-- x -->"):
        replace_between("a <!-- x -->\nold", "x", "new")


@pytest.mark.slow
def test_the_command_writes_the_requested_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written: dict[Path, str] = {}
    monkeypatch.setattr(command, "write_text", written.__setitem__)
    command.write(("copies", "performance"))
    assert written == copies.texts() | performance.texts()
    assert capsys.readouterr().out.splitlines() == [str(path.relative_to(ROOT)) for path in written]


def test_the_scores_in_the_readme_match_the_results() -> None:
    results = (ROOT / "docs/results.md").read_text().partition("| Set14 |")[0]
    printed = re.search(r"Bicubic has (.*?) dB on Set5, the paper's largest network (.*?) dB", " ".join(README.split()))
    assert printed
    for row, shown in zip(("bicubic", "DRRN_B1U25 †"), printed.groups(), strict=True):
        (line,) = re.findall(rf"^\| {row} \|.*$", results, re.MULTILINE)
        assert re.findall(r"([\d.]+) / ", line) == re.findall(r"[\d.]+", shown)


def test_the_table_follows_from_the_json_next_to_it() -> None:
    import json

    from drrn.evaluation.benchmark import ImageScore, Row

    rows = [
        Row(**{**row, "images": [ImageScore(**image) for image in row["images"]]})
        for row in json.loads((ROOT / "docs" / "results.json").read_text())
    ]
    assert to_markdown(rows) == (ROOT / "docs" / "results.md").read_text()
    ours = {(row.data, row.scale): row for row in rows if row.model == DEFAULT}
    assert set(ours) == {(data, scale) for data in ("Set5", "Set14", "BSD100") for scale in (2, 3, 4)}


def test_the_table_of_models_lists_the_packaged_ones() -> None:
    written = (ROOT / "docs/family.md").read_text()
    head, _, *models = [line for line in written.splitlines() if line.startswith("|")]
    assert {line.split()[1] for line in models} == set(store.names()) and "| s/MP |" in head


def test_the_speed_page_follows_from_the_json_next_to_it() -> None:
    for path, text in performance.texts().items():
        assert path.read_text(encoding="utf-8") == text


@pytest.mark.slow
def test_the_study_page_follows_from_the_results_next_to_it() -> None:
    folder = ROOT / "docs/study"
    results = load_results(folder / "results")
    figure_names = [name for name in FIGURES if (folder / f"figures/{name}.svg").exists()]
    text = (folder / "study.md").read_text()
    assert text == to_page(results, figure_names)
    assert (folder / "index.html").read_text() == to_html(text, folder)


def test_every_packaged_model_has_its_card() -> None:
    assert DEFAULT in store.names()
    for name in store.names():
        weights = store.load(name)
        assert {"data", "recipe", "command", "seed", "commit", "scores", "protocol"} <= set(weights.card)
        plot = f"{name}.png" if (ROOT / "models" / f"{name}.png").exists() else ""
        assert (ROOT / "models" / f"{name}.md").read_text() == card.to_markdown(weights, plot=plot)


def test_links_in_the_documents_have_a_target() -> None:
    roots = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "samples/README.md")]
    for path in [*roots, *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_every_page_has_a_unique_name() -> None:
    assert len(PAGES) == len([path for path in FILES if path.stem != "index"])


def test_the_readme_links_to_the_site_whose_contents_list_every_page() -> None:
    assert "](docs/index.md)" in README
    listed = {"index"}
    for path in [ROOT / "docs/index.md", *(ROOT / "docs" / part / "index.md" for part in PARTS[1:])]:
        for block in re.findall(r"```{toctree}\n(.*?)```", path.read_text(), re.DOTALL):
            listed |= {Path(line).name for line in block.splitlines() if line and not line.startswith(":")}
    included = {"README", "LOG", "results", "family"}  # the last two are included in evaluation.md and models.md
    assert listed >= set(PAGES) - included


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 130


def test_documents_name_exactly_the_existing_commands() -> None:
    for name in cli.COMMANDS:
        assert f"drrn {name}" in README
    texts = ALL + CONTRIBUTING
    for group, names in cli.GROUPS.items():
        for name in names:
            assert f"drrn {group} {name}" in texts
    former_name = "Measured by `drrn bench "  # the former name of the command that wrote docs/performance.json
    for name in re.findall(r"`drrn ([a-z]+)", ALL.replace(former_name, "")):
        assert name in cli.COMMANDS, f"The documents name drrn {name}"


def test_paths_and_names_in_contributing_exist() -> None:
    """Each path in CONTRIBUTING exists, and each name is in the file before or after it in its cell or sentence."""
    section = CONTRIBUTING.partition("## Where things are")[2].partition("\n## ")[0]
    rows = [line.split("|")[2] for line in section.splitlines() if line.startswith("| ")][2:]
    parts = [*rows, *re.split(r"[;.] ", section.partition("**To add an image format**")[2].replace("\n", " "))]
    assert len(parts) > 15
    for part in parts:
        words = [word for word in re.findall(r"`([^`]+)`", part) if not word.startswith(("-", "make ", "drrn "))]
        is_path = [bool(re.search(r"/|\.py$", word)) for word in words]
        paths = [resolve_path(word, words) for word, path in zip(words, is_path, strict=True) if path]
        text = "".join(path.read_text() for path in paths if path.is_file())
        for word, path in zip(words, is_path, strict=True):
            assert path or word in text, f"{word} is not in {', '.join(map(str, paths))}"


def resolve_path(word: str, words: list[str]) -> Path:
    """The file or folder with this name in CONTRIBUTING; a bare file name is in the folder that was named last."""
    if "/" not in word:
        folder = [each for each in words[: words.index(word)] if "/" in each and not each.endswith(".py")][-1]
        word = f"{folder}/{word}"
    path = ROOT / word[1:] if word.startswith("/") else ROOT / "src/drrn" / word
    assert path.exists(), path
    return path


def test_documents_name_only_extras_and_targets_that_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name in re.findall(r"(?:drrn|'\.)\[(\w+)\]", ALL):
        assert name in project["optional-dependencies"]
    targets = re.findall(r"^(\w+):.*  ## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for name in re.findall(r"`make (\w+)`", ALL + CONTRIBUTING):
        assert name in targets


def test_make_help_lists_every_target() -> None:
    if not (make := shutil.which("make")):
        pytest.skip("no make here")
    words = [make, "--no-print-directory", "help"]  # otherwise printed if make runs the tests
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert "help" in targets and [line.split()[1] for line in listed.splitlines()] == targets


def test_the_drawings_match_the_code_that_makes_them() -> None:
    drawn_files = drawings.texts()
    for folder in {path.parent for path in drawn_files}:
        assert {path for path in drawn_files if path.parent == folder} == set(folder.glob("*.svg"))
    for path, text in drawn_files.items():
        assert path.read_text() == text, f"{path.name}: run make pages"
        title = ElementTree.fromstring(text).findtext("{http://www.w3.org/2000/svg}title")
        assert title and f"{path.name})" in "".join(PAGES.values())


@pytest.mark.parametrize("picture", sorted(pictures.commands()), ids=lambda path: path.name)
def test_a_picture_matches_the_command_next_to_it(
    picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit):
        cli.main([*pictures.commands()[picture], "--output", str(tmp_path / "again.png")])
    expected, output = read(picture).pixels, read(tmp_path / "again.png").pixels
    assert expected.shape == output.shape and np.abs(expected - output).max() <= 2 / 255  # engines round otherwise


@pytest.mark.slow
def test_the_first_lesson_shows_what_its_command_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    page = PAGES["first-picture"]
    line = next(line for line in commands(page) if line.startswith("drrn upscale"))
    with pytest.raises(SystemExit):
        cli.main(shlex.split(line)[1:])
    engine, cost = r"native \(.*?\): [\w ]+|reference \(.*?\): [\w ]+", r"[\d.]+ (s|MB)"
    printed, shown = (
        re.sub(f"{engine}|{cost}", "…", text) for text in ("".join(capsys.readouterr()), blocks("text", page)[0])
    )
    assert sorted(printed.splitlines()) == sorted(shown.splitlines())


def test_every_picture_of_the_tutorial_is_made_by_a_command() -> None:
    for path in (ROOT / "docs/tutorial").glob("*.md"):
        text = path.read_text()
        for shown in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text):
            picture = (path.parent / shown).resolve()
            assert picture in pictures.commands() or picture in drawings.texts(), shown
            assert re.search(rf"<!-- made by: .* -->\n\n!\[[^\]]*\]\({re.escape(shown)}\)", text), shown


def test_the_tutorial_explains_every_verdict() -> None:
    assert re.findall(r"^\| \*\*(.*)\*\* \|", PAGES["reading-a-study"], re.MULTILINE) == list(get_args(Verdict))


def test_the_scores_in_the_tutorial_match_its_weights(data: Path) -> None:
    weights = ROOT / "docs/tutorial/first.safetensors"
    (shown,) = re.findall(r"^best +(.*)$", PAGES["first-training"], re.MULTILINE)
    *_, row = evaluate([Upscaler(weights)], [data / "Set5"], [2.0])
    assert f"{row.psnr:.2f} / {row.ssim:.4f}" == shown


def test_the_manual_page_is_up_to_date() -> None:
    assert man.PAGE.read_text() == man.page(), "run make pages"
    for name in [*cli.COMMANDS, *(f"{group} {each}" for group, names in cli.GROUPS.items() for each in names)]:
        assert f"\n.B drrn {name}\n" in man.page()


def test_no_text_in_the_manual_page_is_taken_for_a_troff_request() -> None:
    for line in man.page().splitlines():
        assert re.match(r"\.(TH|SH|TP|PP|B|nf|fi)( |$)|[^.']", line), line
        assert not re.search(r"(?<!\\)-", line), line


def test_the_manual_page_has_each_example_once_and_every_variable() -> None:
    examples = man.page().partition(".SH EXAMPLES\n.nf\n")[2].splitlines()
    assert len(examples) > 20 and len(examples) == len(set(examples))
    for name in reference.ENVIRONMENT:
        assert f"\n.B {name}\n" in man.page() and f"| `{name}` | " in reference.environment()


def test_every_command_has_its_page_of_the_reference() -> None:
    stubs = reference.texts()
    assert {path.stem for path in stubs} == set(cli.COMMANDS)
    assert {path: path.read_text() for path in reference.FOLDER.glob("*.md")} == stubs, "run make pages"


def test_the_reference_of_a_command_has_all_of_its_options_and_examples() -> None:
    text = reference.command("upscale")
    for group in options_of(cli.COMMANDS["upscale"]).values():
        for option in group:
            assert f"\n`{option.signature}`\n: " in text
    assert "```sh\ndrrn upscale photo.png\n" in text
    assert "[formats](/" in text and "`--budget`" in text


def test_the_reference_lists_every_exit_code() -> None:
    used = {0, 1, *map(int, re.findall(r"(?:code = |return )(\d+)$", Path(cli.__file__).read_text(), re.MULTILINE))}
    assert used <= set(cli.EXIT_CODES)
    assert all(f"| {code} | " in reference.exit_codes() for code in cli.EXIT_CODES)


def test_the_reference_of_cards_names_every_field() -> None:
    table = PAGES["configuration"].partition("## Cards")[2]
    named = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    found = {field for name in store.names() for field in store.load(name).card}
    assert found <= named


def test_the_checksums_of_the_data_match_the_pictures(data: Path) -> None:
    rows = re.findall(r"^\| `data/(\S+)` \| `(\w{64})` \|", PAGES["data"], re.MULTILINE)
    assert len(rows) == 7
    for name, digest in rows:
        files = sorted((data / name).iterdir())
        listing = "".join(f"{sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
        assert sha256(listing.encode()).hexdigest() == digest, name
        assert f"| `data/{name}` | {len(files)} " in PAGES["data"]
