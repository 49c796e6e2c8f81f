"""The cards of the packaged models as one page of the site."""

import re

from docs.write import ROOT, read
from drrn.weights import store


def cards() -> str:
    """Each packaged model's card, as a section."""
    return "\n\n".join(_as_section(read(ROOT / "models" / f"{name}.md")) for name in store.names())


def _as_section(card: str) -> str:
    """With its headings a level deeper, and images as seen from docs/reference."""
    return re.sub(r"^#", "##", card, flags=re.M).replace("](", "](../../models/")
