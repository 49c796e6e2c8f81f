"""Processes forked from one that has already imported the slow modules, so that `drrn` starts fast many times.

The script that forks them reads lines from stdin, each a JSON list of plans, and answers each with a line of results.
"""

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from drrn.apps.cli import main

Plan = dict[str, Any]
RunPlans = Callable[[Sequence[Plan]], list[dict[str, Any]]]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OMP_NUM_THREADS": "1"}


@contextmanager
def start_script(script: Path) -> Iterator[RunPlans]:
    """Start the script, and yield a function that makes it run plans one after the other."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, script], env=ENVIRONMENT, **pipes) as forks:
        reader, writer = forks.stdout, forks.stdin
        assert reader and writer

        def run(plans: Sequence[Plan]) -> list[dict[str, Any]]:
            writer.write(json.dumps(plans) + "\n")
            writer.flush()
            return list(json.loads(reader.readline()))

        yield run


def answer_plans(run: Callable[[Plan], dict[str, Any]]) -> None:
    """The body of the script: run the plans from stdin until it ends."""
    gc.freeze()  # forks need not search what was imported for garbage
    for line in sys.stdin:
        results = [run(plan) for plan in json.loads(line)]
        sys.stdout.write(json.dumps(results) + "\n")
        sys.stdout.flush()


def run_and_exit(args: Sequence[str]) -> NoReturn:
    """The body of a fork: run `drrn`, and exit with its code, without the usual cleanup of a process."""
    code: Any = 1
    try:
        main(args)
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
