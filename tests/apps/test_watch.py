"""What is shown while a training runs."""

import pytest

from drrn.apps.watch import Show
from drrn.training.config import REPORT


def test_a_path_with_brackets_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with Show(REPORT) as show:
        show.note("9 pictures in runs/[bold]/[/x]")
    assert "9 pictures in runs/[bold]/[/x]" in capsys.readouterr().err
