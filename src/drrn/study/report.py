"""The report of a study: questions, method, results, and the verdict on each claim.

It is written in Markdown and converted to HTML with its figures embedded. Both depend on the results alone.
"""

from collections.abc import Sequence
from pathlib import Path

from drrn.atomic import write_text
from drrn.errors import StudyError
from drrn.plotting import save
from drrn.study.claims import evaluate_claims
from drrn.study.experiments import LISTS
from drrn.study.figures import FIGURES, draw
from drrn.study.page import to_html
from drrn.study.prose import banner, differences, method, repeat, summary
from drrn.study.result import Results
from drrn.study.result_tables import (
    anchor,
    experiments_table,
    explain_verdicts,
    failures_table,
    sources_table,
    verdicts_table,
)
from drrn.study.sections import SECTIONS


def write_report(results: Results, folder: Path) -> Path:
    """Write `index.html`, `study.md` and `figures/` in `folder`; the same results give the same bytes.

    Returns:
        The path of the HTML page.

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


def to_markdown(results: Results, figures: Sequence[str]) -> str:
    """The whole report, embedding the named figures as `figures/NAME.svg`."""
    findings = evaluate_claims(results)
    body = [
        "## The claims",
        verdicts_table(findings),
        "The last column has a measurement for each part of a claim; *How each claim was decided*, below, says what "
        "was measured and the bound.",
        "## Where to find what",
        sources_table(results, findings, figures),
        "## Method",
        method(results),
        *([_embed("sheets")] if "sheets" in figures else []),
    ]
    for name, section in SECTIONS.items():
        names = [experiment.name for experiment in LISTS[name] if results.of(experiment.name)]
        if len(names) > 1:
            table = experiments_table(results, names, perceptual=name == "loss")
            body += [f"## {section.title}", section.question, table]
            body += [_embed(each) for each in section.figures if each in figures]
    others = sorted(results.by_name.keys() - {each.name for experiments in LISTS.values() for each in experiments})
    if others:
        body += ["## Other experiments", experiments_table(results, others, perceptual=False)]
    body += ["## Failed trainings", FAILURES, failures_table(results)]
    body += ["## How each claim was decided", *explain_verdicts(results, findings)]
    body += ["## Differences from the report", differences(results), "## How to repeat it", repeat(results)]
    titles = [part.removeprefix("## ") for part in body if part.startswith("## ")]
    parts = [
        "# What makes a DRRN work",
        f"**{banner(results)}**",
        "The report on *Deep Recurrent Residual Networks* seems to draw its conclusions from single runs. Here its "
        f"experiments are repeated, with {results.seed_counts} each, and each of its claims, and some of the paper's, "
        "is put to a test that it could fail.",
        "## In words",
        summary(results, findings),
        "**Contents:** " + " · ".join(f"[{title}]({anchor(title)})" for title in titles),
        *body,
    ]
    return "\n\n".join(parts) + "\n"


FAILURES = (
    "A training has failed if it diverged, if its network is dead, or if the network is no better than bicubic at the "
    "end. All sizes and recipes together; in brackets the exact 95 % interval of the share (Clopper and Pearson)."
)


def _embed(name: str) -> str:
    return f"![{FIGURES[name].alt}](figures/{name}.svg)\n\n*{FIGURES[name].title}.*"
