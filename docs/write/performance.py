"""docs/performance.md, from the report that `python -m benchmarks --json` wrote; `--plot` there draws the figure."""

from benchmarks.page import to_markdown
from benchmarks.report import Report
from docs.write import DOCS, Texts, read


def texts() -> Texts:
    """The page."""
    report = Report.from_json(read(DOCS / "performance.json"))
    return {DOCS / "performance.md": to_markdown(report, "performance.png")}
