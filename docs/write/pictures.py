"""The pictures of the documents, each made by the command that stands in a comment beside it.

`<!-- made by: drrn compare photo.png --output docs/tutorial/photo.png -->` above a picture is run in the checkout.
"""

import re
import shlex
from pathlib import Path

from docs.write import DOCS, ROOT, Texts, read

MADE_BY = re.compile(r"^<!-- made by: drrn (.*) --output (\S+\.png) -->$", re.MULTILINE)


def commands() -> dict[Path, list[str]]:
    """The words of the command that makes each picture, but for `--output` and the picture."""
    pages = sorted(path for path in DOCS.rglob("*.md") if "log" not in path.relative_to(DOCS).parts)
    found = [each for page in pages for each in MADE_BY.findall(read(page))]
    return {ROOT / picture: shlex.split(words) for words, picture in found}


def texts() -> Texts:
    """Nothing: the commands write the pictures themselves.

    Raises:
        RuntimeError: a command failed.
    """
    from contextlib import chdir

    from drrn.apps import cli

    with chdir(ROOT):
        for picture, words in commands().items():
            try:
                cli.main([*words, "--output", str(picture), "--overwrite"])
            except SystemExit as ended:
                if ended.code:
                    raise RuntimeError(f"{picture.name} was not made.") from ended
    return {}
