"""Convert Markdown to one HTML page with embedded figures, to be mailed, read on a phone, or printed."""

import base64
import re
from html import escape, unescape
from pathlib import Path
from typing import get_args

from markdown_it import MarkdownIt

from drrn.study.parts import Verdict
from drrn.study.result_tables import anchor


def to_html(text: str, folder: Path) -> str:
    """Convert Markdown to one page, embedding the figures in `folder`."""
    text = re.sub(r"<!--.*?-->\n\n", "", text)  # comments, for readers of the Markdown
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    body = re.sub(r"<table>.*?</table>", r'<div class="table">\g<0></div>', body, flags=re.DOTALL)

    def embed(match: re.Match[str]) -> str:
        content = base64.b64encode((folder / match[1]).read_bytes()).decode()
        return f'src="data:image/svg+xml;base64,{content}"'

    body = re.sub(r'src="(figures/[a-z_]+\.svg)"', embed, body)
    body = re.sub(r"<(h[23])>(.*?)</h", lambda found: f'<{found[1]} id="{_id(found[2])}">{found[2]}</h', body)
    for verdict in get_args(Verdict):
        body = body.replace(f"<strong>{verdict}</strong>", f'<strong class="{verdict.split()[0]}">{verdict}</strong>')
    title = escape(text.splitlines()[0].lstrip("# "))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{body}</main>
</body>
</html>
"""


def _id(heading: str) -> str:
    return anchor(unescape(re.sub(r"<[^>]+>", "", heading))).removeprefix("#")


STYLE = """
:root { color-scheme: light; }
body { margin: 0; background: #fff; color: #222; font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.35rem; margin: 2.5rem 0 .5rem; border-top: 1px solid #ddd; padding-top: 1rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .3rem; }
p, ul { max-width: 46rem; }
h1 + p { background: #fff5ef; border-left: 4px solid #c1440e; padding: .6rem .8rem; font-size: .95rem; }
img { display: block; width: 100%; max-width: 46rem; height: auto; margin: 1rem 0 .2rem; }
a { color: #0b57a4; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }
th { border-bottom: 2px solid #999; }
[style*="right"] { white-space: nowrap; }
strong { font-weight: 600; }
.holds { color: #1b6e3c; } .does { color: #a3260b; } .too { color: #7a5a00; } .cannot, .not { color: #666; }
td strong { white-space: nowrap; }
@media screen and (max-width: 46rem) { table { min-width: 44rem; } } /* wide enough to read, and scrolled */
pre { background: #f5f5f3; padding: .8rem; overflow-x: auto; font-size: .85rem; }
@media print {
  body { font-size: 10pt; } main { max-width: none; padding: 0; }
  h2, h3 { break-after: avoid; } img, tr, pre { break-inside: avoid; }
  .table { overflow: visible; } table { font-size: 8pt; } th, td { padding: .15rem .3rem; }
  pre { white-space: pre-wrap; }
}
"""
