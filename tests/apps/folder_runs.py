"""Run `drrn` in processes forked from this one, which has already imported the slow modules, so that starts are fast.

For `tests.forks.start_script`. The plan of a run:

    folder, args   where to run, and the command line
    signal         sent after this many `lines` on its stdout, and then this many seconds of `delay`
    call           the process kills itself at this call of the file operations around a result: before or after it
"""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy  # noqa: F401  and not pyvips: its threads would not be in the forks
import rich.progress  # noqa: F401

import drrn.engines.native
import drrn.weights.store  # noqa: F401
from tests.forks import answer_plans, run_and_exit


def run_plan(plan: dict[str, Any], log: Path) -> dict[str, Any]:
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        os.close(read_end)
        run_child(plan, log, write_end)
    os.close(write_end)
    printed = b""
    if plan.get("signal"):
        while printed.count(b"\n") < plan["lines"] and (piece := os.read(read_end, 4096)):
            printed += piece
        time.sleep(plan["delay"])
        os.kill(child, plan["signal"])
    while piece := os.read(read_end, 4096):
        printed += piece
    os.close(read_end)
    _, status = os.waitpid(child, 0)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "printed": [json.loads(line) for line in printed.splitlines() if line.endswith(b"}")],
        "log": log.read_text(),
    }


def run_child(plan: dict[str, Any], log: Path, write_end: int) -> NoReturn:
    """The child: `drrn` with the command line of the plan."""
    here = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(write_end, 1)
    os.dup2(here, 2)
    os.chdir(plan["folder"])
    if plan.get("call"):
        die_at(plan["call"])
    run_and_exit(plan["args"])


def die_at(call: int) -> None:
    from drrn.upscaling.batch.manifest import Manifest

    calls = 0

    def count() -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), signal.SIGKILL)

    def mortal(act: Callable[..., Any]) -> Callable[..., Any]:
        def acting(*args: Any, **options: Any) -> Any:
            count()
            result = act(*args, **options)
            count()
            return result

        return acting

    for name in ("fsync", "link", "replace", "unlink"):
        setattr(os, name, mortal(getattr(os, name)))
    Manifest.add = mortal(Manifest.add)  # type: ignore[method-assign]
    Manifest.forget_others = mortal(Manifest.forget_others)  # type: ignore[method-assign]


if __name__ == "__main__":
    answer_plans(lambda plan: run_plan(plan, Path(plan["folder"]) / "log"))
