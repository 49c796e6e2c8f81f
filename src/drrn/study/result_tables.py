"""The tables of a study's report: scores of experiments, verdicts on claims, and where each is found."""

import re
from collections.abc import Sequence
from statistics import fmean

from drrn import tables
from drrn.evaluation.benchmark import Row
from drrn.study.experiments import BASE, LISTS
from drrn.study.findings import Finding
from drrn.study.measures import contrast, psnr_if_alive
from drrn.study.parts import Outcome, describe_share, failures, format_interval
from drrn.study.result import Result, Results, count_failures
from drrn.study.sections import SECTIONS


def anchor(heading: str) -> str:
    """The address of a heading within its page, as MyST and GitHub make it."""
    return "#" + re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def experiments_table(results: Results, names: Sequence[str], *, perceptual: bool) -> str:
    """Bicubic at each scale, then one line per experiment: means over its living networks, and how many failed."""
    sets = results.typical.sets
    head = ["experiment", "failed", "parameters", "kMAC a pixel", *(f"PSNR {name}" for name in sets)]
    head += ["SSIM", "MS-SSIM", "FLIP"] if perceptual else ["SSIM"]
    head += ["epochs", "CPU s", "s a megapixel"]
    by_scale: dict[str, Result] = {}
    for name in names:
        by_scale.setdefault(_scale_suffix(results.of(name)[0]), results.of(name)[0])
    several = len(by_scale) > 1
    lines = [_bicubic_line(one, suffix * several, sets, perceptual) for suffix, one in by_scale.items()]
    lines += [_experiment_line(results, name, several, sets, perceptual) for name in names]
    return tables.markdown(head, lines, texts=2)


def _scale_suffix(result: Result) -> str:
    return f" x{result.bicubic().scale:g}"


def _bicubic_line(result: Result, suffix: str, sets: Sequence[str], perceptual: bool) -> list[str]:
    psnrs = [f"{result.bicubic(name).psnr:.2f}" for name in sets]
    return ["bicubic" + suffix, "", "", "", *psnrs, *_similarities([result.bicubic()], perceptual), "", "", ""]


def _experiment_line(results: Results, name: str, with_scale: bool, sets: Sequence[str], perceptual: bool) -> list[str]:
    runs = results.of(name)
    living = results.living(name) or runs
    model = runs[0].experiment.model
    speeds = [run.seconds_per_megapixel for run in runs if run.seconds_per_megapixel is not None]
    return [
        name + _scale_suffix(runs[0]) * with_scale,
        count_failures(runs) or f"0 of {len(runs)}",
        f"{model.parameters:,}",
        f"{model.macs() / 1000:.1f}",
        *(_mean_and_range([row.psnr for run in living if (row := run.row(data))], 2) for data in sets),
        *_similarities([row for run in living if (row := run.row())], perceptual),
        f"{fmean(len(run.history) for run in living):.0f}",
        f"{fmean(run.training_seconds for run in living):.0f}",
        f"{min(speeds):.3f}" if speeds else "",
    ]


def _similarities(rows: Sequence[Row], perceptual: bool) -> list[str]:
    """Means of SSIM, and of MS-SSIM and FLIP if asked for."""
    images = [image for row in rows for image in row.images]
    columns: list[list[float]] = [[image.ssim for image in images]]
    if perceptual:
        columns += [
            [value for image in images if (value := getattr(image, name)) is not None] for name in ("ms_ssim", "flip")
        ]
    return [f"{fmean(column):.4f}" if column else "" for column in columns]


def _mean_and_range(values: Sequence[float], digits: int) -> str:
    """The mean, and half the distance between minimum and maximum."""
    if not values:
        return ""
    half_range = f" ± {(max(values) - min(values)) / 2:.{digits}f}" if len(values) > 1 else ""
    return f"{fmean(values):.{digits}f}{half_range}"


def verdicts_table(findings: Sequence[Finding]) -> str:
    """One line per claim, with its verdict."""
    head = ["claim", "where", "verdict", "measured"]
    lines = [
        [
            finding.claim.says,
            finding.claim.source,
            f"**{finding.verdict}**",
            "; ".join(outcome.measured for outcome in finding.outcomes if outcome.measured),
        ]
        for finding in findings
    ]
    return tables.markdown(head, lines, texts=len(head))


def sources_table(results: Results, findings: Sequence[Finding], figures: Sequence[str]) -> str:
    """For each section of the report: the figure here, the command, and the result."""
    head = ["where", "figure", "command", "result"]
    lines = []
    if base := results.of(BASE.name):
        living = [run.psnr for run in results.living(BASE.name) or base if run.psnr is not None]
        score = f"{fmean(living):.2f} dB, bicubic {base[0].bicubic().psnr:.2f} dB" if living else count_failures(base)
        shown = _link("sheets", "Method") if "sheets" in figures else ""
        lines.append(["report, 4, figures 1 to 3", shown, f"`drrn study run {BASE.name}`", score])
    for name, section in SECTIONS.items():
        if len([each for each in LISTS[name] if results.of(each.name)]) < 2:
            continue
        links = [_link(each, section.title) for each in section.figures if each in figures]
        found = [f"{each.claim.clause}: **{each.verdict}**" for each in findings if each.claim.section == name]
        lines.append(
            [
                section.source,
                "; ".join(links) or f"[table]({anchor(section.title)})",
                f"`drrn study run {name}`",
                "; ".join(found or _changes_of(results, name)),
            ]
        )
    return tables.markdown(head, lines, texts=len(head))


def _link(figure: str, heading: str) -> str:
    """Link to a figure by its title, without the part in parentheses, which the next column repeats."""
    from drrn.study.figures import FIGURES  # matplotlib is slow to import

    return f"[{FIGURES[figure].title.partition(' (')[0]}]({anchor(heading)})"


def _changes_of(results: Results, name: str) -> list[str]:
    """How much better or worse than the base each experiment of a list is."""
    found = []
    for experiment in LISTS[name]:
        if experiment.name != BASE.name and (runs := results.of(experiment.name)):
            estimate = contrast(results, {experiment.name: 1.0, BASE.name: -1.0}, psnr_if_alive)
            measured = format_interval(estimate.mean, estimate.interval(), "dB") if estimate else count_failures(runs)
            found.append(f"{experiment.name}: {measured or 'too few results'}")
    return found


def failures_table(results: Results) -> str:
    """How many trainings failed, with and without residuals: all sizes and recipes together, with exact intervals."""
    groups: dict[str, list[str]] = {}
    for name in results.by_name:
        if runs := results.of(name):
            model = runs[0].experiment.model
            local = {"none": "no local residual", "chain": "chain"}.get(model.skip, "local residual")
            group = f"{local}, {'' if model.global_residual else 'no '}global residual"
            groups.setdefault(group, []).append(name)
    lines = []
    for group, names in sorted(groups.items(), key=lambda each: -len(each[1])):
        of_group = [run for name in names for run in results.of(name)]
        lines.append([group, str(len(names)), describe_share(*failures(results, *names)), count_failures(of_group)])
    return tables.markdown(["networks with", "experiments", "failed trainings", "how"], lines, texts=4)


def explain_verdicts(results: Results, findings: Sequence[Finding]) -> list[str]:
    """For each claim its parts, their bounds, and what was measured."""
    paragraphs = []
    for finding in findings:
        claim = finding.claim
        lines = [
            f"* {part.says}: {_explain(outcome)}: *{outcome.verdict}*" + f" ({outcome.missing})" * bool(outcome.missing)
            for part, outcome in zip(claim.parts, finding.outcomes, strict=True)
        ]
        names = dict.fromkeys(name for part in claim.parts for name in part.names)
        failed = [f"{name}: {text}" for name in names if (text := count_failures(results.of(name)))]
        notes = f"\n\nFailed trainings: {'; '.join(failed)}." if failed else ""
        paragraphs.append(f"### {claim.says} ({claim.source}): {finding.verdict}\n\n" + "\n".join(lines) + notes)
    return paragraphs


def _explain(outcome: Outcome) -> str:
    return "; ".join(filter(None, (outcome.measured, outcome.details)))
