"""The results of a study as a page: what was asked, how, what came out, and what it says about each claim.

The page is written in Markdown, and made HTML with its figures inside. Both follow from the results alone.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from drrn import tables
from drrn.atomic import write_text
from drrn.core.metrics import PROTOCOL
from drrn.errors import StudyError
from drrn.evaluation.benchmark import Row
from drrn.plotting import save
from drrn.study.claims import MARGIN, Finding, Part, judge, missing
from drrn.study.experiments import BASE, BUDGETS, LISTS, about
from drrn.study.figures import FIGURES, draw
from drrn.study.intervals import Interval
from drrn.study.page import to_html
from drrn.study.result import HELD_OUT, Result, Results


class Section(NamedTuple):
    """What is said about a list of experiments, and the figures beside it."""

    title: str
    question: str
    figures: tuple[str, ...] = ()


SECTIONS: dict[str, Section] = {
    "residual": Section(
        "Residual connections",
        "The report (4.1) took the residual connections away, and its network learnt nothing any more. There are two "
        "kinds: local ones, around each unit, and the global one, from the interpolated picture to the result. Here "
        "each is taken away alone, and both together. The report explains its finding by gradients that vanish on "
        "their way back through the layers; the norms of the error's gradient with respect to what each layer puts out "
        "show whether they do.",
        ("residual_curves", "residual_pictures", "gradients"),
    ),
    "skip": Section(
        "What a unit's output is added to",
        "In the paper each unit adds the block's first features (*source*); the report's equations 3.1 and 3.2 add the "
        "unit's own input (*chain*).",
    ),
    "units": Section(
        "Residual units in a block",
        "The report (4.2) found 4 to 6 units best, ever less gained beyond, and overfitting at 10 to 12. One block "
        "here.",
        ("units_curves",),
    ),
    "blocks": Section(
        "Recursive blocks",
        "The report (4.3) found that more blocks help at first, and no more after 3 or 4. Three units a block here.",
        ("blocks_curves",),
    ),
    "grid": Section(
        "Blocks and units together",
        "The report (4.4 and 5) found 2 or 3 blocks of 4 to 6 units to be a good balance of quality and time.",
        ("grid", "trade_off"),
    ),
    "sharing": Section("Shared weights", "The units of a block share their weights. What if each has its own?"),
    "initial": Section(
        "First weights",
        "Glorot's uniform (Keras's default, taken here for the report) keeps half of the variance in each layer of a "
        "constant width; He's (the paper's) keeps all of it, and the sum of a unit and a skip is then larger than "
        "either.",
    ),
    "norm": Section("Batch norm", "The paper normalises before every ReLU; the report does not mention it."),
    "loss": Section(
        "Losses",
        "The report minimises the mean squared error (MSE), and leaves perceptual losses to the future. PSNR measures "
        "just the MSE; MS-SSIM and FLIP are nearer to what is seen. FLIP is an error: less is better.",
        ("losses",),
    ),
    "unshuffle": Section(
        "Working on fewer pixels",
        "Not the paper's: the same network between a pixel-unshuffle and a pixel-shuffle, on 4 or 16 times fewer "
        "pixels.",
    ),
    "colour": Section("Colour", "The report's runs were of RGB, the paper's of luma alone."),
}


def write(results: Results, folder: Path) -> Path:
    """Make `index.html`, `study.md` and `figures/` in `folder`; the same results give the same bytes.

    Returns:
        The page.

    Raises:
        DRRNError: a file can't be written.
    """
    figures = folder / "figures"
    try:
        figures.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"{figures} can't be made a folder: {error.strerror or error}.") from error
    drawn = draw(results)
    for name, figure in drawn.items():
        for suffix in (".png", ".svg"):
            save(figure, figures / f"{name}{suffix}", dpi=160)
    text = to_markdown(results, list(drawn))
    write_text(folder / "study.md", text)
    page = folder / "index.html"
    write_text(page, to_html(text, folder))
    return page


def to_markdown(results: Results, drawn: Sequence[str]) -> str:
    """The whole page, with the figures of the names `drawn` as `figures/NAME.svg` beside it."""
    findings = judge(results)
    parts = [
        "# What makes a DRRN work",
        f"**{banner(results)}**",
        "The report on *Deep Recurrent Residual Networks* draws its conclusions from single runs, as far as it says. "
        f"Here its experiments are run again, from {results.counted} each, and each of its claims, and of some of the "
        "paper's, is put to a test that it could fail.",
        "## The claims",
        verdicts(findings),
        "Measured is each part of a claim in turn; *How each claim was decided*, below, says what it is and its bound.",
        "## Method",
        method(results),
        *([figure("sheets")] if "sheets" in drawn else []),
    ]
    for name, section in SECTIONS.items():
        names = [experiment.name for experiment in LISTS[name] if results.of(experiment.name)]
        if len(names) > 1:
            parts += [f"## {section.title}", section.question, table(results, names, perceptual=name == "loss")]
            parts += [figure(each) for each in section.figures if each in drawn]
    others = sorted(results.by_name.keys() - {each.name for experiments in LISTS.values() for each in experiments})
    if others:
        parts += ["## Other experiments", table(results, others, perceptual=False)]
    parts += ["## How each claim was decided", *details(results, findings)]
    parts += ["## What differs from the report", differences(results), "## How to repeat it", repeat(results)]
    return "\n\n".join(parts) + "\n"


def banner(results: Results) -> str:
    """What nobody should take for anything else."""
    budget = BUDGETS[results.budget]
    return f"Budget *{budget.name}*: {about(budget)}. Results at another size may be others."


def verdicts(findings: Sequence[Finding]) -> str:
    """The claims and their verdicts as a table."""
    head = ["claim", "where", "verdict", "measured"]
    lines = []
    for finding in findings:
        measured = [
            told(part, found) for part, found in zip(finding.claim.parts, finding.intervals, strict=True) if found
        ]
        lines.append([finding.claim.says, finding.claim.source, f"**{finding.verdict}**", "; ".join(measured)])
    return tables.markdown(head, lines, texts=len(head))


def told(part: Part, found: Interval) -> str:
    """A mean with its interval, in the part's unit."""
    unit = {"doublings": "times", "of it": "%"}.get(part.unit, part.unit)
    mean = " ".join(filter(None, [number(part, found.mean), unit]))
    return f"{mean} ({number(part, found.low)} to {number(part, found.high)})"


def number(part: Part, value: float) -> str:
    """A number as the part's unit is written."""
    match part.unit:
        case "doublings":
            return f"{2**value:.2f}"
        case "of it":
            return f"{100 * value:.0f}"
        case _:
            return f"{value:+.3f}"


def method(results: Results) -> str:
    """How the numbers came about."""
    first = results.usual
    model, how = first.experiment.model, first.experiment.train
    sets = ", ".join(f"{name} ({len(first.bicubic(name).images)} pictures)" for name in first.sets)
    learnt, held = first.data["pictures"], first.data["validation_pictures"]
    machine = first.machine
    commits = ", ".join(sorted({result.commit for result in results.all if result.commit})) or "unknown"
    unseen = (
        "the pictures held out, by which also the best epoch was chosen, so that all numbers are a little too good"
        if first.sets == [HELD_OUT]
        else "whole pictures that no training saw"
    )
    return (
        f"Networks have {model.width} features unless their name says otherwise; the base is *{BASE.name}*, 2 blocks "
        "of 4 units, and takes RGB. "
        f"They learn from {learnt} pictures of {' and '.join(first.data['folders'])}, and {held} are held out, other "
        f"ones for each seed: patches of {how.patch}x{how.patch} pixels at a stride of {how.stride}, made "
        f"{how.scales[0]:g} times smaller by MATLAB's bicubic and enlarged again. Adam at {how.learning_rate:g}, "
        f"gradients clipped to a norm of {how.clip:g}, the mean squared error unless a loss is named, weights drawn "
        f"by Glorot; {how.epochs} epochs of {how.epoch_steps or 'all'} steps of {how.batch_size} patches, ended after "
        f"{how.patience} without a better validation loss, whose best epoch is kept.\n\n"
        f"They are judged by {unseen}: {sets}. Claims are decided on the first set; SSIM, MS-SSIM and FLIP are of that "
        f"set, too. {PROTOCOL}. A training that diverges has the scores of its best "
        "epoch, or none where its first was not over. In tables, ± is half of the distance between the best and the "
        "worst seed. Curves are means over the seeds that still run at an epoch, in a band from the least to the "
        "greatest where they are few; they end in a dot, or in a cross where a seed diverged.\n\n"
        "Experiments are compared seed by seed and picture by picture; a seed of which one of them has no scores is "
        "left out. An interval in brackets is of 95 % confidence, for other seeds and other pictures of the kind: an "
        "analysis of variance with both at random, and Student's t. It is wide where there are few seeds; "
        "a bootstrap's, given below for comparison, is too narrow then. A claim "
        "*holds* where the intervals of all its parts are on its side of a bound, *does not hold* where one is on the "
        "other, and else *cannot be told*, which is no verdict against it. Each interval has its own 5 % of chance: of "
        "so many, one may well be wrong.\n\n"
        f"Training times are CPU seconds, on {machine['cpu']}, {machine['jobs']} experiments at a time, each with "
        f"{tables.plural(machine['threads'], 'thread')}: an epoch's median, as often as there were "
        f"epochs. Seconds a megapixel are of the enlarged picture, the best of three times and of all seeds by the "
        f"{machine['engine']} engine, while other experiments were running: take them as rough. "
        f"torch {machine['torch']}, commit {commits}."
    )


def table(results: Results, names: Sequence[str], *, perceptual: bool) -> str:
    """A line an experiment, bicubic first, at each scale."""
    sets = results.usual.sets
    head = ["experiment", "parameters", "kMAC a pixel", *(f"PSNR {name}" for name in sets)]
    head += ["SSIM", "MS-SSIM", "FLIP"] if perceptual else ["SSIM"]
    head += ["epochs", "training, CPU s", "s a megapixel"]
    scales: dict[str, Result] = {}
    for name in names:
        scales.setdefault(f" x{results.of(name)[0].bicubic().scale:g}", results.of(name)[0])
    lines = [
        [
            "bicubic" + scale * (len(scales) > 1),
            "",
            "",
            *(f"{one.bicubic(name).psnr:.2f}" for name in sets),
            *looks([one.bicubic()], perceptual),
            "",
            "",
            "",
        ]
        for scale, one in scales.items()
    ]
    for name in names:
        runs = results.of(name)
        scale = f" x{runs[0].bicubic().scale:g}" * (len(scales) > 1)
        model = runs[0].experiment.model
        scores = [spread_of([row.psnr for run in runs if (row := run.row(data))], 2) for data in sets]
        speeds = [run.seconds_per_megapixel for run in runs if run.seconds_per_megapixel is not None]
        lines.append(
            [
                noted(name + scale, runs),
                f"{model.parameters:,}",
                f"{model.macs() / 1000:.1f}",
                *scores,
                *looks([row for run in runs if (row := run.row())], perceptual),
                f"{fmean(len(run.history) for run in runs):.0f}",
                f"{fmean(run.training_seconds for run in runs):.0f}",
                f"{min(speeds):.3f}" if speeds else "",
            ]
        )
    return tables.markdown(head, lines)


def noted(name: str, runs: Sequence[Result]) -> str:
    """The name of an experiment, and how many of its seeds came to nothing."""
    diverged = sum(run.outcome == "diverged" for run in runs)
    idle = sum(run.psnr is not None and run.psnr < run.bicubic().psnr + 0.01 for run in runs)
    notes = {"diverged": diverged, "no better than bicubic": idle}
    said = ", ".join(f"{note} in {count} of {len(runs)}" for note, count in notes.items() if count)
    return f"{name} ({said})" if said else name


def looks(rows: Sequence[Row], perceptual: bool) -> list[str]:
    """Means of SSIM, and of MS-SSIM and FLIP where these are asked for."""
    images = [image for row in rows for image in row.images]
    columns: list[list[float]] = [[image.ssim for image in images]]
    if perceptual:
        columns += [
            [value for image in images if (value := getattr(image, name)) is not None] for name in ("ms_ssim", "flip")
        ]
    return [f"{fmean(column):.4f}" if column else "" for column in columns]


def spread_of(values: Sequence[float], digits: int) -> str:
    """A mean, and half of the distance between the least and the greatest."""
    if not values:
        return ""
    apart = f" ± {(max(values) - min(values)) / 2:.{digits}f}" if len(values) > 1 else ""
    return f"{fmean(values):.{digits}f}{apart}"


def details(results: Results, findings: Sequence[Finding]) -> list[str]:
    """For each claim its parts, their bounds, and what was found."""
    parts = []
    for finding in findings:
        claim = finding.claim
        lines = []
        for part, found, verdict in zip(claim.parts, finding.intervals, finding.verdicts, strict=True):
            said = "too few results"
            if found:
                low, high = (number(part, value) for value in found.bootstrap)
                said = f"{told(part, found)}, bootstrap {low} to {high}, from {found.seeds} seeds"
            lines.append(f"* {part.says}: {said}: *{verdict}*")
        absent = missing(results, claim)
        note = f"\n\nNot run: {', '.join(absent)}." if absent else ""
        names = dict.fromkeys(name for part in claim.parts for name in part.weights)
        idle = [said for name in names if (runs := results.of(name)) and (said := noted(name, runs)) != name]
        note += f"\n\nMind: {', '.join(idle)}." if idle else ""
        parts.append(f"### {claim.says} ({claim.source}): {finding.verdict}\n\n" + "\n".join(lines) + note)
    return parts


def differences(results: Results) -> str:
    """What the report did otherwise, or does not say."""
    how, channels = results.usual.experiment.train, results.usual.experiment.model.channels
    alike = [result for result in results.all if result.experiment.model.channels == channels]
    constant = fmean(result.constant_loss for result in alike)
    seen = how.epochs * (how.epoch_steps or 0) * how.batch_size
    amount = f"here a network sees {seen:,} at most" if seen else "as often here"
    return "\n".join(
        [
            "* **Size.** The report has 103,455 patches of 601 pictures, and learns from 728 batches of them an epoch "
            "(nine tenths, if a batch has 128), for up to 50 epochs: up to 4.7 million patches seen; "
            f"{amount}. It does not say how wide its network was; the paper's has 128 features.",
            "* **Which residual.** The report changed one line, *x + input* to *x*, and does not say whether that is "
            "the local residual or the global one. Its claims about none are decided by the network without both.",
            "* **Scale, smaller pictures.** The report says neither by what factor nor how its pictures were made "
            "smaller.",
            "* **First weights.** The report does not say how they were drawn. Its output is that of Keras, whose "
            "default is Glorot's uniform, taken here. The paper's are He's, under batch norms that the report lacks.",
            "* **Skips.** The report cites the paper, but its equations are those of a chain. The base is the paper's.",
            "* **What is judged.** The report gives the loss and the accuracy of patches held out. Its accuracy is "
            "Keras's for three channels: whether the same channel is the largest. A grey picture scores by chance. "
            "Claims are decided here by PSNR on whole pictures, but for those that the loss stays flat, that accuracy "
            "falls and that networks overfit.",
            f"* **0.0755.** One colour for all pictures held out has a mean squared error of {constant:.4f} here. The "
            "report's loss without residuals is of that size: its network seems to have learnt nothing at all.",
            f"* **Marginal.** A gain under {MARGIN:g} dB counts as none; the report gives no number.",
        ]
    )


def repeat(results: Results) -> str:
    """The commands."""
    first = results.usual
    test = "" if first.sets == [HELD_OUT] else f" --test {shlex.join(first.sets)}"
    whole = [name for name, experiments in LISTS.items() if all(results.of(each.name) for each in experiments)]
    listed = {each.name for name in whole for each in LISTS[name]}
    known = {each.name for experiments in LISTS.values() for each in experiments}
    single = [name for name in results.by_name if name in known - listed]
    own = ["FILE.py"] if results.by_name.keys() - known else []
    names = "".join(f" {shlex.quote(name)}" for name in [*whole, *single, *own] if own or len(whole) < len(LISTS))
    return (
        "```bash\npip install 'drrn[study]'\n"
        f"drrn study run{names} --data {shlex.join(first.data['folders'])}{test} --budget {results.budget} --seeds "
        f"{len(results.seeds)}\n"
        f"drrn study report --budget {results.budget}\n```\n\n"
        + ("FILE.py is the file of Python that the other experiments come from. " if own else "")
        + "Folders are named by their last two parts. The run can be stopped at any moment; the same command goes on."
    )


def figure(name: str) -> str:
    return f"![{FIGURES[name].alt}](figures/{name}.svg)\n\n*{FIGURES[name].title}.*"
