"""Fuzz the formats with many thousand inputs each, and write a report: `python -m tests.hostile`.

A format that is already in the report, with as many inputs, is skipped, so that a stopped run can be continued.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import tyro

from drrn.atomic import write_text
from drrn.provenance import command, commit, machine
from tests.conftest import ROOT
from tests.hostile.formats import FORMATS
from tests.hostile.harness import campaign
from tests.hostile.report import Entry, Report

PUBLISHED = ROOT / "data/formats"


def fuzz(
    formats: tyro.conf.Positional[tuple[str, ...]] = (),
    /,
    *,
    each: int = 50_000,
    report: Path = ROOT / "docs/hostile.json",
    found: Path = ROOT / "runs/hostile",
    published: Path | None = PUBLISHED,
    again: bool = False,
) -> int:
    """Try mutated files.

    Args:
        formats: Formats to fuzz. All by default.
        each: Inputs per format.
        report: JSON file to write after each format, with a Markdown page next to it.
        found: Folder for inputs that were neither read nor refused.
        published: Folder of published files that are mutated too.
        again: Also fuzz formats that are already in the report.
    """
    published = published if published and published.is_dir() else None
    summary = Report.from_json(report.read_text()) if report.exists() else Report([])
    most_findings = 0
    for name in formats or FORMATS:
        entry = summary.of(name)
        if entry and entry.tally.inputs == each and not again:
            continue
        with campaign(published=published, output=found) as running:
            tally = running.run(name, each)
        day = datetime.now(UTC).strftime("%Y-%m-%d")
        summary = summary.with_entry(
            Entry(tally, command("python -m tests.hostile"), commit(), day, machine(), bool(published))
        )
        write_text(report, summary.to_json())
        write_text(report.with_suffix(".md"), summary.to_markdown())
        sys.stdout.write(json.dumps({**tally.to_dict(), "findings": len(tally.findings)}) + "\n")
        for finding in tally.findings:
            sys.stdout.write(f"  {finding.number} {finding.what}: {finding.why.strip().splitlines()[-1:]}\n")
        sys.stdout.flush()
        most_findings = max(most_findings, len(tally.findings))
    return int(most_findings > 0)


if __name__ == "__main__":
    sys.exit(tyro.cli(fuzz))
