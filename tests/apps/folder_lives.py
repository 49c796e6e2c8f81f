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


def live(life: dict[str, Any], log: Path) -> dict[str, Any]:
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        os.close(told)
        be(life, log, tell)
    os.close(tell)
    said = b""
    if life.get("signal"):
        while said.count(b"\n") < life["lines"] and (piece := os.read(told, 4096)):
            said += piece
        time.sleep(life["delay"])
        os.kill(child, life["signal"])
    while piece := os.read(told, 4096):
        said += piece
    os.close(told)
    _, status = os.waitpid(child, 0)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "said": [json.loads(line) for line in said.splitlines() if line.endswith(b"}")],
        "log": log.read_text(),
    }


def be(life: dict[str, Any], log: Path, tell: int) -> NoReturn:
    """The child: `drrn` with the command line of `life`."""
    here = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(tell, 1)
    os.dup2(here, 2)
    os.chdir(life["folder"])
    if life.get("call"):
        die_at(life["call"])
    run_and_exit(life["args"])


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
    answer_plans(lambda life: live(life, Path(life["folder"]) / "log"))
