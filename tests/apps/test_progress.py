"""What commands print while they work, and how signals stop them."""

import signal
import subprocess
import sys

import pytest

from drrn.apps.progress import TrainingProgress
from drrn.training.config import REPORT


def test_a_path_with_brackets_is_printed_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgress(REPORT) as show:
        show.note("9 pictures in runs/[bold]/[/x]")
    assert "9 pictures in runs/[bold]/[/x]" in capsys.readouterr().err


def test_a_deferred_signal_is_remembered_and_a_second_one_is_not_handled() -> None:
    script = """
import os, signal
from drrn.apps.signals import SignalHandler
signals = SignalHandler(deferred=True)
assert not signals.has_received()
os.kill(os.getpid(), signal.SIGTERM)
assert signals.has_received() and signals.exit_code == 143
assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
os.kill(os.getpid(), signal.SIGINT)
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == -signal.SIGINT
