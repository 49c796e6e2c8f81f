"""Figures of a study show the available results, and are always the same bytes."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from drrn.errors import UsageError
from drrn.plotting import save
from drrn.study import comparisons, curves, examples
from drrn.study.comparisons import Point, front
from drrn.study.experiments import BASE, BLOCKS, COLOR, GRID, LOSS, NO_RESIDUAL, RESIDUAL, UNITS, Experiment, vary
from drrn.study.figures import FIGURES, draw
from drrn.study.layout import caption
from drrn.study.result import Result, Results
from tests.study.made_results import made_results


@pytest.fixture(scope="module")
def results() -> Results:
    return made_results()


@pytest.fixture(scope="module")
def figures(results: Results) -> dict[str, Figure]:
    """All figures, for tests that do not change them."""
    return draw(results)


def require(figure: Figure | None) -> Figure:
    assert figure
    return figure


def panel(figure: Figure | None, title: str) -> Axes:
    """The panel whose title begins with `start`."""
    (match,) = (axes for axes in require(figure).axes if axes.get_title("left").startswith(title))
    return match


def line(axes: Axes, label: str) -> Line2D:
    """The line whose label begins with `start`."""
    (match,) = (each for each in axes.lines if re.match(rf"{label}\b", str(each.get_label())))
    return match


def values(each: Line2D, axis: int = 1) -> list[float]:
    """The plotted values: along y, or along x if `axis` is 0."""
    return [float(value) for value in np.asarray(each.get_xydata())[:, axis]]


def size(box: Bbox) -> tuple[float, float]:
    return round(box.width, 3), round(box.height, 3)


def with_change(results: Results, name: str, change: Callable[[Result], Result]) -> Results:
    """The results, with those of one experiment changed."""
    of_name = {seed: change(result) for seed, result in results.by_name[name].items()}
    return Results({**results.by_name, name: of_name})


@pytest.mark.slow
def test_all_results_give_all_figures_in_their_order(figures: dict[str, Figure]) -> None:
    assert [*figures] == [*FIGURES]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("sheets", ".png"),
        ("sheets", ".svg"),
        pytest.param("sheets", ".pdf", marks=pytest.mark.full),
        pytest.param("residual_curves", ".png", marks=pytest.mark.full),
        ("residual_curves", ".svg"),
        ("residual_curves", ".pdf"),
    ],
)
def test_the_same_results_give_the_same_bytes(name: str, suffix: str, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}{suffix}" for number in range(2)]
    for path in paths:
        save(require(FIGURES[name].draw(made_results(RESIDUAL))), path)
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert len(first) > 10_000
    assert sorted(tmp_path.iterdir()) == paths


def test_a_figure_of_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must end in \.png, \.svg, \.pdf, got a\.jpg"):
        save(Figure(), tmp_path / "a.jpg")


@pytest.mark.slow
def test_the_caption_says_where_the_numbers_come_from(results: Results, figures: dict[str, Figure]) -> None:
    expected_caption = "standard · width 16 · 3 seeds · BSDS500/test x3, bicubic 24.60 dB · commit 0123456"
    assert caption(results) == expected_caption
    for name, figure in figures.items():
        assert figure.get_supxlabel() == expected_caption, name
    assert "quick · width 8 · 1 seed · " in caption(made_results([BASE], 1, budget="quick"))


def test_the_caption_counts_the_seeds_shown(results: Results) -> None:
    fewer = Results({**results.by_name, "B1U1": {0: results.by_name["B1U1"][0]}})
    assert " · 1 to 3 seeds · " in require(curves.units_curves(fewer)).get_supxlabel()
    assert " · 3 seeds · " in require(curves.blocks_curves(Results({**results.by_name, "L1": {}}))).get_supxlabel()


def test_a_curve_is_the_mean_over_seeds_and_ended_seeds_keep_their_value(results: Results) -> None:
    histories = [run.history for run in results.of("B1U4")]
    assert [len(each) for each in histories] == [6, 5, 4]
    expected = [fmean(each[min(epoch, len(each) - 1)].val_loss for each in histories) for epoch in range(6)]
    mean = line(panel(curves.units_curves(results), "validation loss"), "4")
    assert values(mean) == pytest.approx(expected)
    assert values(mean, 0) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("name", ["train_loss", "val_loss", "train_accuracy", "val_accuracy"])
def test_each_panel_of_residuals_shows_its_column(results: Results, name: Any) -> None:
    axes = panel(curves.residual_curves(results), curves.TITLES[name])
    last = [fmean(getattr(run.history[-1], name) for run in results.of(each.name)) for each in RESIDUAL]
    assert [values(line(axes, each.name))[-1] for each in RESIDUAL] == pytest.approx(last)


def test_the_error_of_one_constant_color_is_marked(results: Results) -> None:
    axes = panel(curves.residual_curves(results), "validation loss")
    assert 0.06 in [values(each)[0] for each in axes.lines if each.get_linestyle() == ":"]
    assert [text.get_text() for text in axes.texts] == ["one constant color"]


def test_a_first_epoch_far_above_does_not_flatten_the_others(results: Results) -> None:
    high = with_change(
        results, "B2U4", lambda run: replace(run, history=(run.history[0]._replace(train_loss=1e3), *run.history[1:]))
    )
    axes = panel(curves.residual_curves(high), "training loss")
    assert axes.get_ylim()[1] == pytest.approx(0.12)
    assert values(line(axes, "B2U4"))[0] == 1e3


def test_each_seeds_psnr_is_shown(results: Results) -> None:
    axes = panel(curves.blocks_curves(results), "PSNR")
    for experiment in BLOCKS:
        (dots,) = (each for each in axes.lines if {*values(each, 0)} == {experiment.model.blocks})
        assert values(dots) == [run.psnr for run in results.of(experiment.name)]
    assert values(line(axes, "mean"))[1] == pytest.approx(fmean(run.psnr or 0 for run in results.of("B2U3")))


def test_a_diverged_run_is_drawn_up_to_its_end() -> None:
    results = made_results(RESIDUAL, diverged=["no residual"])
    axes = panel(curves.residual_curves(results), "training loss")
    assert len(values(line(axes, "no residual"))) == len(results.of("no residual")[0].history) == 3
    assert "no residual (3 of 3 diverged)" in [each.get_label() for each in axes.lines]
    before, after = require(curves.gradients(results)).axes
    assert len(values(line(before, "no residual"))) == BASE.model.depth
    assert values(line(after, "no residual")) == []


@pytest.mark.slow
def test_a_run_that_diverged_at_once_breaks_no_figure(results: Results) -> None:
    for each in [*UNITS[:3], *BLOCKS[2:], GRID[0], *LOSS[:2], NO_RESIDUAL]:
        results = with_change(
            results,
            each.name,
            lambda run: replace(
                made_results([run.experiment], 1, epochs=1, diverged=[run.name]).of(run.name)[0], gradients={}
            ),
        )
    assert not results.of("B1U1")[0].history
    for figure in draw(results).values():
        figure.draw_without_rendering()
    assert values(line(panel(curves.units_curves(results), "validation loss"), "1")) == []


def test_vanished_gradients_are_drawn(results: Results) -> None:
    vanished = with_change(
        results, "no residual", lambda run: replace(run, gradients={"start": (0.0,) * 19, "end": ()})
    )
    figure = require(curves.gradients(vanished))
    assert values(line(figure.axes[0], "no residual")) == [0] * 19
    figure.draw_without_rendering()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("experiments", "names"),
    [
        (COLOR[1:], []),
        ([BASE], ["sheets"]),
        (RESIDUAL, ["sheets", "residual_curves", "residual_pictures", "gradients"]),
        (UNITS, ["units_curves", "grid", "trade_off"]),
        (LOSS, ["sheets", "losses"]),
        (LOSS[1:], []),
    ],
)
def test_a_figure_without_results_is_left_out(experiments: list[Experiment], names: list[str]) -> None:
    assert [*draw(made_results(experiments, 1))] == names


def test_experiments_that_were_not_run_have_no_line() -> None:
    axes = panel(curves.units_curves(made_results([UNITS[0], UNITS[4]])), "validation accuracy")
    assert [label for each in axes.lines if not (label := str(each.get_label())).startswith("_")] == ["1", "5"]


@pytest.mark.slow
def test_accuracy_is_left_out_for_one_channel() -> None:
    results = made_results([vary(each.name, each, channels=1) for each in (*RESIDUAL, *UNITS)], 1)
    titles = {axes.get_title("left") for figure in draw(results).values() for axes in figure.axes}
    assert "validation loss" in titles
    assert not any("accuracy" in title for title in titles)


def test_the_grid_shows_each_psnr(results: Results) -> None:
    (axes,) = require(comparisons.grid(results)).axes
    psnrs = [run.psnr or 0 for run in results.of("B2U4")]
    place = [text for text in axes.texts if text.get_position() == (1, 1)]
    assert [text.get_text() for text in place] == [f"{fmean(psnrs):.2f}\n{min(psnrs):.2f} to {max(psnrs):.2f}"]
    assert [text.get_text() for text in require(comparisons.grid(made_results(UNITS))).axes[0].texts][-1] == "none"


def test_a_loss_is_compared_with_mse_seed_by_seed(results: Results) -> None:
    axes = panel(comparisons.losses(results), "FLIP, less is better")
    rows = [(run.row(), base.row()) for run, base in zip(results.of("L1"), results.of("B2U4"), strict=True)]
    expected = [
        fmean(image.flip or 0 for image in ours.images) - fmean(image.flip or 0 for image in theirs.images)
        for ours, theirs in rows
        if ours and theirs
    ]
    assert values(axes.lines[0], 0) == pytest.approx(expected)


def test_the_front_is_labeled(results: Results) -> None:
    for axes in require(comparisons.trade_off(results)).axes:
        names = [text.get_text() for text in axes.texts]
        assert names[-1] == "B1U25"
    assert require(comparisons.trade_off(results)).axes[0].texts[0].get_text() == "B1U1"


def test_an_experiment_without_times_is_left_out(results: Results) -> None:
    untimed = with_change(results, "B1U1", lambda run: replace(run, cpu_seconds=()))
    figure = require(comparisons.trade_off(untimed))
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["B1U2", "B1U1", "B1U25"]
    without_times = Results({name: {0: replace(runs[0], cpu_seconds=())} for name, runs in results.by_name.items()})
    require(comparisons.trade_off(without_times)).draw_without_rendering()


@pytest.mark.slow
def test_labels_of_close_points_do_not_overlap(results: Results) -> None:
    figure = require(comparisons.trade_off(results))
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        assert not any(a.overlaps(b) for place, a in enumerate(boxes) for b in boxes[:place])


@pytest.mark.slow
def test_example_images_have_equal_size(results: Results) -> None:
    for figure in (require(examples.sheets(results)), require(examples.residual_images(results))):
        figure.draw_without_rendering()
        extents = [*(axes.get_window_extent() for axes in figure.axes)]
        extents += [axes.images[0].get_window_extent() for axes in figure.axes]
        assert len({size(extent) for extent in extents}) == 1
    titles = [axes.get_title("left") for axes in require(examples.sheets(results)).axes[:4]]
    assert titles == [version.caption for version in results.of("B2U4")[0].examples["3063"]]


points = st.lists(st.builds(Point, st.integers(1, 6).map(float), st.integers(1, 6).map(float), st.text("ab")))


@pytest.mark.slow
@given(points)
def test_the_front_is_pareto_optimal(points: list[Point]) -> None:
    def is_beaten(point: Point) -> bool:
        return any(each.cost <= point.cost and each.psnr >= point.psnr and each[:2] != point[:2] for each in points)

    best = front(points)
    assert sorted(best) == sorted(point for point in points if not is_beaten(point))
    assert [each.cost for each in best] == sorted(each.cost for each in best)
