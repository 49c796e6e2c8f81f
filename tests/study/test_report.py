"""The page of a study follows from its results alone."""

import base64
import re
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import get_args

import pytest

from drrn.apps import cli
from drrn.study.claims import CLAIMS
from drrn.study.experiments import BASE, BUDGETS, LISTS, Experiment, describe_budget, find_experiments, vary
from drrn.study.page import to_html
from drrn.study.parts import Verdict
from drrn.study.report import to_markdown, write_report
from drrn.study.result import Result, Results, to_json
from drrn.study.sections import SECTIONS
from tests.study.made_results import EVERYTHING, made_results

FEW = (*LISTS["sharing"], *LISTS["loss"][:2])


def lines_of(text: str, start: str) -> list[list[str]]:
    """The cells of the lines of all tables whose first cell is `start`."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith(f"| {start} |")
    ]


@pytest.mark.slow
def test_every_list_has_a_section_and_every_figure_a_place() -> None:
    assert SECTIONS.keys() == LISTS.keys()
    text = to_markdown(made_results(), [figure for section in SECTIONS.values() for figure in section.figures])
    for section in SECTIONS.values():
        assert f"## {section.title}\n" in text
        assert all(f"(figures/{name}.svg)" in text for name in section.figures)


def test_a_table_line_is_the_mean_over_seeds() -> None:
    results = made_results(FEW)
    line = lines_of(to_markdown(results, []), "not shared")[0]
    runs = results.of("not shared")
    rows = [row for run in runs if (row := run.row())]
    apart = (max(row.psnr for row in rows) - min(row.psnr for row in rows)) / 2
    assert line[1:3] == ["0 of 3", f"{runs[0].experiment.model.parameters:,}"]
    assert line[4] == f"{sum(row.psnr for row in rows) / 3:.2f} ± {apart:.2f}"
    assert line[6] == f"{sum(row.ssim for row in rows) / 3:.4f}"


def test_losses_are_compared_by_perceptual_metrics_too() -> None:
    text = to_markdown(made_results(FEW), [])
    head = next(line for line in text.splitlines() if "MS-SSIM" in line and line.startswith("| experiment"))
    assert head.count("|") == len(lines_of(text, "L1")[0]) + 1
    assert text.count("| FLIP |") == 1


@pytest.mark.slow
def test_the_command_to_repeat_lists_what_was_run() -> None:
    def command(names: tuple[Experiment, ...]) -> str:
        return next(line for line in to_markdown(made_results(names), []).splitlines() if line.startswith("drrn study"))

    folders = "--data data/T91 BSDS500/train --test BSDS500/test data/Set5"
    assert command(EVERYTHING) == f"drrn study run {folders} --budget standard --seeds 3"
    assert command((*LISTS["sharing"], LISTS["residual"][1])).startswith(
        "drrn study run sharing 'no local residual' --data"
    )
    assert command((*LISTS["sharing"], vary("mine", units=7))).startswith("drrn study run sharing FILE.py --data")


def test_experiments_of_other_scales_have_their_own_bicubic() -> None:
    results = made_results((BASE, vary("mine", units=7), vary("small", units=7)))
    rows = [replace(row, scale=2, psnr=33.0) for row in results.of("small")[0].scores]
    small = {seed: replace(run, scores=tuple(rows)) for seed, run in results.by_name["small"].items()}
    text = to_markdown(Results({**results.by_name, "small": small}), [])
    assert [lines_of(text, name)[0][4] for name in ("bicubic x3", "bicubic x2")] == ["24.60", "33.00"]
    assert "\n| small x2 " in text and "\n| mine x3 " in text


def test_a_claim_notes_seeds_that_learned_nothing() -> None:
    results = made_results(LISTS["skip"], gain=lambda each: 0.5 if each.name == "B2U4" else 0.0, noise=0)
    part = to_markdown(results, []).partition("### Skips from the block's first features")[2].partition("###")[0]
    assert "Failed trainings: chain: 3 of 3 dead." in part


def test_the_report_says_that_held_out_images_chose_the_epoch() -> None:
    results = made_results(FEW, seeds=2)
    text = to_markdown(results, [])
    assert "whole pictures that no training has seen" in text and "with 2 seeds each" in text

    def with_held_out(run: Result) -> Result:
        return replace(run, scores=tuple(replace(row, data="held out") for row in run.scores[:2]))

    by_name = {name: {seed: with_held_out(run) for seed, run in runs.items()} for name, runs in results.by_name.items()}
    text = to_markdown(Results(by_name), [])
    assert "which also decided the best epoch" in text and " --test " not in text


def test_the_constant_color_error_uses_color_experiments() -> None:
    results = made_results(LISTS["color"])
    luma = {seed: replace(run, constant_loss=0.02) for seed, run in results.by_name["luma"].items()}
    text = to_markdown(Results({**results.by_name, "luma": luma}), [])
    assert "has a mean squared error of 0.0600 here" in text


@pytest.mark.slow
def test_every_claim_is_in_the_first_table_with_its_verdict() -> None:
    text = to_markdown(made_results(), [])
    table = text.partition("## The claims\n")[2].partition("\n## ")[0]
    assert sum(table.count(f"**{verdict}**") for verdict in get_args(Verdict)) == len(CLAIMS)
    assert "near 0.0755" in table
    assert text.count("\n### ") == len(CLAIMS)


def test_the_budget_stands_at_the_top() -> None:
    for name, budget in BUDGETS.items():
        text = to_markdown(made_results(FEW, budget=name), [])
        assert text.splitlines()[2].startswith(f"**Budget *{name}*: {describe_budget(budget)}")
    assert "all patches in batches of 128" in describe_budget(BUDGETS["full"])


def test_sections_without_results_are_left_out() -> None:
    text = to_markdown(made_results(FEW), [])
    assert "## Residual units" not in text and "## Shared weights" in text and "## Other experiments" not in text
    assert "B1U25, B1U9 not run: *not run*" in text
    assert "The report** was not tested where it says that 25 units are better than 9" not in text
    assert "25 units are better than 9" in text.partition("was not tested where it says that")[2]


def test_own_experiments_have_a_table() -> None:
    text = to_markdown(made_results((*FEW, vary("mine", units=7))), [])
    assert lines_of(text.partition("## Other experiments")[2], "mine")


def test_a_diverged_experiment_is_marked_with_its_seeds() -> None:
    text = to_markdown(made_results(FEW, diverged=["L1"]), [])
    assert lines_of(text, "L1")[0][1] == "3 of 3 diverged"
    assert "L1 (3 of 3 diverged)" in text.partition("## In words")[2].partition("## ")[0]


def test_the_instructions_to_repeat_name_folders_budget_and_seeds() -> None:
    text = to_markdown(made_results(FEW, seeds=2), [])
    assert re.search(
        r"drrn study run sharing L1 --data .+ --test BSDS500/test data/Set5 --budget standard --seeds 2", text
    )


@pytest.mark.slow
def test_the_page_says_what_another_width_would_cost() -> None:
    results = made_results()
    text = to_markdown(results, [])
    names = {each.name for name in ("residual", "units", "blocks", "sharing", "skip") for each in LISTS[name]}
    seconds = sum(fmean(run.training_seconds for run in results.of(name)) for name in names)
    assert f"It was not run for this page, because of its cost: these lists took {seconds / 60:.0f} CPU minutes" in text
    assert f"so 5 seeds would take some {seconds * 4 * 5 / 3600:.0f} CPU hours" in text
    incomplete = made_results([each for each in EVERYTHING if each.name != "B1U25"])
    assert "because of its cost" not in to_markdown(incomplete, []) and "--budget wide --seeds 5" in to_markdown(
        incomplete, []
    )


@pytest.mark.slow
def test_the_page_begins_with_its_findings_in_words() -> None:
    def gain(each: Experiment) -> float:
        return {"batch norm": -0.5, "luma": 0.62, "He": 0.51, "unshuffle 4": 0.0}.get(each.name, 0.5)

    results = made_results(gain=gain, noise=0.001)
    words = to_markdown(results, []).partition("## In words")[2].partition("\n**Contents:**")[0]
    assert "that residual connections improve performance" in words.partition("too small to matter, under 0.05 dB")[2]
    assert "**The report** is right that returns diminish" not in words
    assert "as changes of B2U4: better: luma (+0.12 dB)" in words and "worse: batch norm (-1.00 dB)" in words
    assert "He (+0.01 dB)" in words.partition("equal within 0.05 dB:")[2]
    assert "dead in every training: unshuffle 4" in words
    assert f"**Failed:** 6 of {len(EVERYTHING) * 3} trainings: batch norm (3 of 3 no better than bicubic)" in words
    undecided = to_markdown(made_results(noise=0.3), [])
    assert re.search(r"cannot tell, when it says that .*\(about \d+ seeds would decide\)", undecided)


def test_contents_and_links_lead_to_headings(tmp_path: Path) -> None:
    text = to_markdown(made_results(FEW), [])
    page = to_html(text, tmp_path)
    targets = re.findall(r'href="#([^"]+)"', page)
    assert "the-claims" in targets and len(targets) > 10
    assert {*targets} <= {*re.findall(r' id="([^"]+)"', page)}


def test_each_section_of_the_report_has_its_figure_command_and_result() -> None:
    text = to_markdown(made_results(), ["sheets", "units_curves"])
    table = text.partition("## Where to find what\n")[2].partition("\n## ")[0]
    (line,) = [line for line in table.splitlines() if "figure 6" in line and line.startswith("| report, 4.2")]
    assert "](#residual-units-in-a-block)" in line and "| `drrn study run units` |" in line
    assert "25 units are better than 9: **" in line
    assert all(f"`drrn study run {name}`" in table for name in LISTS)


def test_failed_trainings_have_an_exact_interval() -> None:
    text = to_markdown(made_results(LISTS["residual"], diverged=["no residual"]), [])
    (line,) = lines_of(text, "no local residual, no global residual")
    assert line[1:] == ["1", "3 of 3 (29 to 100 %)", "3 of 3 diverged"]
    assert lines_of(text, "local residual, global residual")[0][2] == "0 of 3 (0 to 71 %)"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Path]:
    """A study on disk, with its page."""
    folder, results = tmp_path_factory.mktemp("study"), made_results(FEW, seeds=2)
    for result in results.all:
        run = folder / result.name / f"seed-{result.experiment.seed}"
        run.mkdir(parents=True)
        (run / "result.json").write_text(to_json(result))
    run_cli(["study", "report", str(folder)])
    return results, folder


def run_cli(words: list[str]) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.mark.slow
def test_the_page_depends_only_on_the_files_and_is_reproducible(written: tuple[Results, Path], tmp_path: Path) -> None:
    _, folder = written
    assert run_cli(["study", "report", str(folder), "--page", str(tmp_path / "again")]) == 0
    files = sorted(path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*") if path.is_file())
    assert {path.suffix for path in files} == {".html", ".md", ".png", ".svg"}
    for path in files:
        assert (tmp_path / "again" / path).read_bytes() == (folder / path).read_bytes(), path


@pytest.mark.slow
def test_the_page_is_self_contained(written: tuple[Results, Path]) -> None:
    page = (written[1] / "index.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    pictures = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert len(pictures) == len(list((written[1] / "figures").glob("*.svg"))) > 1
    assert all(base64.b64decode(each).startswith(b"<?xml") for each in pictures)
    assert 'name="viewport"' in page and "@media print" in page


def test_comments_in_the_text_are_not_on_the_page(tmp_path: Path) -> None:
    page = to_html("# A\n\n<!-- not run: slow -->\n\n```sh\ndrrn\n```\n", tmp_path)
    assert "drrn\n</code>" in page and "not run" not in page


def test_markup_in_a_name_stays_text(tmp_path: Path) -> None:
    assert "<script>" not in to_html("# a\n\n<script>alert(1)</script>\n", tmp_path)


@pytest.mark.slow
def test_the_console_counts_failed_trainings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for result in made_results(FEW[:2], seeds=1, diverged=["not shared"]).all:
        (tmp_path / result.name).mkdir()
        (tmp_path / result.name / "result.json").write_text(to_json(result))
    assert run_cli(["study", "report", str(tmp_path)]) == 0
    assert "2 trainings, failed: 1 of 2 diverged" in capsys.readouterr().err


def test_a_folder_that_cant_be_created_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = made_results(FEW, seeds=1).all[0]
    (tmp_path / "result.json").write_text(to_json(result))
    (tmp_path / "figures").touch()
    assert run_cli(["study", "report", str(tmp_path)]) == 2
    assert "can't be made a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("run nonsense --data .", "No experiment 'nonsense'"),
        ("run nowhere.py --data .", "No file nowhere.py"),
        ("run units --data .", "No pictures in ."),
        ("run units --data nowhere", "No folder nowhere"),
        ("run units --data . --seeds 0", "must be at least 1"),
        ("report nowhere", "No results in nowhere"),
        ("report", "No results in study/standard"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    words: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_cli(["study", *words.split()]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("drrn: ") and reason in printed and printed.count("\n") == 1


def test_study_list_shows_lists_and_budgets(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["study", "list"]) == 0
    printed = capsys.readouterr().out
    assert "4.2 and 4.4, figure 6" in printed
    assert all(name in printed for name in (*LISTS, *BUDGETS)) and all(
        each.name in printed for each in find_experiments(())
    )


@pytest.mark.slow
def test_results_of_unknown_commits_and_one_seed_make_a_page(tmp_path: Path) -> None:
    results = made_results(FEW, seeds=1)
    plain = Results({name: {0: replace(seeds[0], commit="")} for name, seeds in results.by_name.items()})
    assert "commit unknown" in write_report(plain, tmp_path).read_text()
