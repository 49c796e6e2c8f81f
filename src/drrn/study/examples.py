"""Figures of example images, side by side."""

from collections.abc import Mapping, Sequence

from matplotlib import rc_context
from matplotlib.figure import Figure

from drrn.plotting import LOOK
from drrn.study.experiments import BASE, RESIDUAL, Experiment
from drrn.study.layout import WIDTH, new_figure, select
from drrn.study.result import Results, StoredVersion, from_text


@rc_context(LOOK)
def sheets(results: Results) -> Figure | None:
    shown = _examples(results, BASE)
    if not shown:
        return None
    columns = [{name: versions[place] for name, versions in shown.items()} for place in range(4)]
    return _image_grid(select(results, (BASE,)), columns, [""] * 4)


@rc_context(LOOK)
def residual_images(results: Results) -> Figure | None:
    found = {each.name: shown for each in RESIDUAL if (shown := _examples(results, each))}
    if len(found) < 2:
        return None
    columns = [{name: versions[-1] for name, versions in next(iter(found.values())).items()}]
    columns += [{name: versions[2] for name, versions in shown.items()} for shown in found.values()]
    return _image_grid(select(results, RESIDUAL), columns, ["", *found])


def _examples(results: Results, experiment: Experiment) -> Mapping[str, tuple[StoredVersion, ...]]:
    """The example images of an experiment, from its first seed that has any."""
    return next((run.examples for run in results.of(experiment.name) if run.examples), {})


def _image_grid(results: Results, columns: Sequence[Mapping[str, StoredVersion]], heads: Sequence[str]) -> Figure:
    """One column per mapping, one row per image, each as large as the first of its row."""
    names = [*columns[0]]
    side = WIDTH / len(columns) - 0.1
    figure = new_figure(results, (side + 0.25 + 0.15 * any(heads)) * len(names) + 0.25)
    for row, panels in zip(names, figure.subplots(len(names), len(columns), squeeze=False), strict=True):
        for axes, column, head in zip(panels, columns, heads, strict=True):
            if row in column:
                axes.imshow(from_text(column[row].picture), interpolation="none", extent=(0, 1, 0, 1))
                title = f"{head}\n{column[row].caption.removeprefix('drrn ')}" if head else column[row].caption
                axes.set_title(title, fontsize=8)
            axes.set_axis_off()
    return figure
