"""The site is built without warnings, has no broken links, and needs no network."""

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import pytest

from docs.write import site
from tests.conftest import ROOT

NEEDED = ("sphinx", "furo", "myst_parser")
pytestmark = pytest.mark.slow


class Page(NamedTuple):
    links: list[str]
    """Links for readers."""
    loaded: list[str]
    """What a browser loads to show the page: scripts, styles, images."""
    anchors: set[str]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page([], [], set())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name == "id" and value:
                self.page.anchors.add(value)
            elif name == "href" and value:
                (self.page.links if tag == "a" else self.page.loaded).append(value)
            elif name == "src" and value:
                self.page.loaded.append(value)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the whole site."""
    if lacking := [name for name in NEEDED if not find_spec(name)]:
        pytest.skip(f"needs {', '.join(lacking)}: pip install 'drrn[docs]'")
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-d", str(folder / "doctrees")]
    ended = subprocess.run(
        [*words, "docs", str(folder / "html")], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0 and not ended.stderr, ended.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def pages(built: Path) -> dict[Path, Page]:
    """The pages of the site, by file."""
    found = {}
    for path in built.rglob("*.html"):
        reader = _Reader()
        reader.feed(path.read_text(encoding="utf-8"))
        found[path] = reader.page
    return found


def broken(pages: dict[Path, Page]) -> Iterator[str]:
    for path, page in pages.items():
        for address in page.links + page.loaded:
            parts = urlsplit(address)
            if parts.scheme or address.startswith(("#svg-", "//")):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                yield f"{path.name}: {address}"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{path.name}: {address}, no such anchor"


def test_no_link_of_the_site_is_broken(pages: dict[Path, Page]) -> None:
    assert len(pages) > 20
    assert list(broken(pages)) == []


def test_the_site_loads_nothing_from_the_network(built: Path, pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        assert not [address for address in page.loaded if re.match(r"\w+:|//", address)], path.name
    for path in built.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", path.read_text(encoding="utf-8")), path.name


def test_the_site_can_be_searched(built: Path) -> None:
    index = (built / "searchindex.js").read_text(encoding="utf-8")
    assert "how-to/index" in index and '"bicub' in index


def test_entries_of_the_log_are_not_pages_of_the_site(pages: dict[Path, Page], built: Path) -> None:
    names = {str(path.relative_to(built)) for path in pages}
    assert "index.html" in names and not [name for name in names if name.lower().startswith("log")]


def test_every_placeholder_line_is_expanded(built: Path) -> None:
    for path in built.rglob("*.html"):
        assert not re.search(r"<!-- (include|generated) ", path.read_text(encoding="utf-8")), path.name


def test_text_before_a_colon_in_a_field_docstring_is_not_shown_as_its_type(built: Path) -> None:
    page = (built / "reference/configuration.html").read_text(encoding="utf-8")
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page))
    assert "Learn only what bicubic lost: sr = ilr + G(ilr)." in text
    assert not re.search(r"Type:? ?Learn", text)


def test_the_python_api_shows_only_our_own_docstrings(built: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (built / "reference/api.html").read_text(encoding="utf-8"))
    assert "Upscaler" in text
    for word in ("~", "factory", "docs/", "Create new instance of", "Alias for field number"):
        assert word not in text, word


def test_an_included_text_keeps_its_links() -> None:
    page, source = ROOT / "docs/how-to/a.md", ROOT / "README.md"
    text = "[a](docs/b.md#c), [d](https://e.f), [g](#h)\n\n[i]: LICENSE\n"
    moved = "[a](../b.md#c), [d](https://e.f), [g](#h)\n\n[i]: ../../LICENSE\n"
    assert site.move_links(text, source, page) == moved


def test_a_page_that_includes_a_missing_file_is_refused() -> None:
    page = ROOT / "docs/index.md"
    with pytest.raises(ValueError, match=r"docs/index.md includes none.md, which does not exist"):
        site.expand("<!-- include none.md -->", page)
    with pytest.raises(ValueError, match="no marks <!-- none -->"):
        site.expand("<!-- include ../README.md none -->", page)
    with pytest.raises(ValueError, match="Nothing generates none"):
        site.expand("a\n<!-- generated none -->\n", page)


def test_an_option_of_a_command_is_one_word_that_no_line_break_divides(built: Path) -> None:
    page = (built / "tutorial/first-training.html").read_text(encoding="utf-8")
    assert '<span class="na">--epoch-steps</span>' in page
    assert '<span class="na">--open</span>' in (built / "how-to/serve.html").read_text(encoding="utf-8")
    assert re.search(r"\.highlight \.na { white-space: nowrap; }", (built / "_static/site.css").read_text())
