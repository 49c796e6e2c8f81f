"""Rows of an evaluation as a table or as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from drrn import tables
from drrn.core.metrics import PROTOCOL
from drrn.evaluation import published
from drrn.evaluation.benchmark import Row


def to_json(rows: Sequence[Row]) -> str:
    """A list of rows, each `{model, source, data, scale, psnr, ssim, seconds, peak_mb, images}`."""
    return json.dumps([asdict(row) for row in rows], indent=1) + "\n"


def to_markdown(rows: Sequence[Row]) -> str:
    """One table per set, one line per model, one column per scale; with the protocol and a legend."""
    parts = [f"PSNR (dB) / SSIM. {PROTOCOL}."]
    for data in dict.fromkeys(row.data for row in rows):
        head, *body = lines(rows, data)
        parts.append(tables.markdown(head, body))
    parts.append(legend(rows).replace("*", "\\*"))
    return "\n\n".join(part for part in parts if part) + "\n"


def legend(rows: Sequence[Row]) -> str:
    """The meaning of the marks in the table, if any."""
    marks = ["† published (Tai et al. 2017, Table 2)"] if any(row.source == "published" for row in rows) else []
    if not all(_confirmed(row) for row in rows):
        marks.append("* quoted from memory, not checked against a source")
    return f"{'; '.join(marks)}." if marks else ""


def lines(rows: Sequence[Row], data: str) -> list[list[str]]:
    """The cells of the table of one set: the head, then one line per model in the order of the rows."""
    of_set = [row for row in rows if row.data == data]
    scales = list(dict.fromkeys(row.scale for row in of_set))
    cells = {(row.model, row.source, row.scale): row for row in of_set}
    head = [data, *(f"x{scale:g}" for scale in scales), "seconds", "peak MB"]
    table = [head]
    for model, source in dict.fromkeys((row.model, row.source) for row in of_set):
        mine = [cells.get((model, source, scale)) for scale in scales]
        name = model if source == "measured" else f"{model} †"
        table.append([name, *(_score(row) for row in mine), *_cost(mine)])
    return table


def _score(row: Row | None) -> str:
    if row is None:
        return ""
    return f"{row.psnr:.2f} / {row.ssim:.4f}{'' if _confirmed(row) else ' *'}"


def _cost(rows: Sequence[Row | None]) -> tuple[str, str]:
    """Total seconds over all scales, and the maximum peak."""
    measured = [row for row in rows if row is not None and row.seconds is not None and row.peak_mb is not None]
    if not measured:
        return "", ""
    return f"{sum(row.seconds or 0 for row in measured):.1f}", f"{max(row.peak_mb or 0 for row in measured):.0f}"


def _confirmed(row: Row) -> bool:
    if row.source == "measured":
        return True
    return published.rows(row.data, row.scale)[row.model].confirmed
