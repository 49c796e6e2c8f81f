"""docs/reference/performance.md, from the report that `python -m benchmarks --json` wrote; `--plot` draws it."""

from benchmarks.page import to_markdown
from benchmarks.report import Report
from docs.write import DOCS, Texts, read


def texts() -> Texts:
    """The page."""
    report = Report.from_json(read(DOCS / "performance.json"))
    return {DOCS / "reference/performance.md": to_markdown(report, "../performance.png")}
