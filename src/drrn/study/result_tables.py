"""The tables of a study's report: scores of experiments, and verdicts on claims."""

from collections.abc import Sequence
from statistics import fmean

from drrn import tables
from drrn.evaluation.benchmark import Row
from drrn.study.claims import Finding, Part, missing_experiments
from drrn.study.intervals import Interval
from drrn.study.result import Result, Results


def experiments_table(results: Results, names: Sequence[str], *, perceptual: bool) -> str:
    """Bicubic at each scale, then one line per experiment."""
    sets = results.typical.sets
    head = ["experiment", "parameters", "kMAC a pixel", *(f"PSNR {name}" for name in sets)]
    head += ["SSIM", "MS-SSIM", "FLIP"] if perceptual else ["SSIM"]
    head += ["epochs", "training, CPU s", "s a megapixel"]
    by_scale: dict[str, Result] = {}
    for name in names:
        by_scale.setdefault(_scale_suffix(results.of(name)[0]), results.of(name)[0])
    several = len(by_scale) > 1
    lines = [_bicubic_line(one, suffix * several, sets, perceptual) for suffix, one in by_scale.items()]
    lines += [_experiment_line(results.of(name), several, sets, perceptual) for name in names]
    return tables.markdown(head, lines)


def _scale_suffix(result: Result) -> str:
    return f" x{result.bicubic().scale:g}"


def _bicubic_line(result: Result, suffix: str, sets: Sequence[str], perceptual: bool) -> list[str]:
    psnrs = [f"{result.bicubic(name).psnr:.2f}" for name in sets]
    return ["bicubic" + suffix, "", "", *psnrs, *_similarities([result.bicubic()], perceptual), "", "", ""]


def _experiment_line(runs: Sequence[Result], with_scale: bool, sets: Sequence[str], perceptual: bool) -> list[str]:
    model = runs[0].experiment.model
    speeds = [run.seconds_per_megapixel for run in runs if run.seconds_per_megapixel is not None]
    return [
        label_with_failures(runs[0].name + _scale_suffix(runs[0]) * with_scale, runs),
        f"{model.parameters:,}",
        f"{model.macs() / 1000:.1f}",
        *(_mean_and_range([row.psnr for run in runs if (row := run.row(name))], 2) for name in sets),
        *_similarities([row for run in runs if (row := run.row())], perceptual),
        f"{fmean(len(run.history) for run in runs):.0f}",
        f"{fmean(run.training_seconds for run in runs):.0f}",
        f"{min(speeds):.3f}" if speeds else "",
    ]


def label_with_failures(name: str, runs: Sequence[Result]) -> str:
    """The name of an experiment, and in how many of its seeds it failed to learn."""
    diverged = sum(run.outcome == "diverged" for run in runs)
    useless = sum(run.psnr is not None and run.psnr < run.bicubic().psnr + 0.01 for run in runs)
    counts = {"diverged": diverged, "no better than bicubic": useless}
    notes = ", ".join(f"{failure} in {count} of {len(runs)}" for failure, count in counts.items() if count)
    return f"{name} ({notes})" if notes else name


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
    lines = []
    for finding in findings:
        measured = [
            format_interval(part, interval)
            for part, interval in zip(finding.claim.parts, finding.intervals, strict=True)
            if interval
        ]
        lines.append([finding.claim.says, finding.claim.source, f"**{finding.verdict}**", "; ".join(measured)])
    return tables.markdown(head, lines, texts=len(head))


def explain_verdicts(results: Results, findings: Sequence[Finding]) -> list[str]:
    """For each claim its parts, their bounds, and what was measured."""
    paragraphs = []
    for finding in findings:
        claim = finding.claim
        lines = []
        for part, interval, verdict in zip(claim.parts, finding.intervals, finding.verdicts, strict=True):
            measured = "too few results"
            if interval:
                low, high = (_format_number(part, value) for value in interval.bootstrap)
                measured = f"{format_interval(part, interval)}, bootstrap {low} to {high}, from {interval.seeds} seeds"
            lines.append(f"* {part.says}: {measured}: *{verdict}*")
        absent = missing_experiments(results, claim)
        notes = f"\n\nNot run: {', '.join(absent)}." if absent else ""
        names = dict.fromkeys(name for part in claim.parts for name in part.weights)
        failed = [
            text for name in names if (runs := results.of(name)) and (text := label_with_failures(name, runs)) != name
        ]
        notes += f"\n\nNote: {', '.join(failed)}." if failed else ""
        paragraphs.append(f"### {claim.says} ({claim.source}): {finding.verdict}\n\n" + "\n".join(lines) + notes)
    return paragraphs


def format_interval(part: Part, interval: Interval) -> str:
    """A mean with its interval, in the part's unit."""
    unit = {"doublings": "times", "of it": "%"}.get(part.unit, part.unit)
    mean = " ".join(filter(None, [_format_number(part, interval.mean), unit]))
    return f"{mean} ({_format_number(part, interval.low)} to {_format_number(part, interval.high)})"


def _format_number(part: Part, value: float) -> str:
    """A number in the part's unit."""
    match part.unit:
        case "doublings":
            return f"{2**value:.2f}"
        case "of it":
            return f"{100 * value:.0f}"
        case _:
            return f"{value:+.3f}"
