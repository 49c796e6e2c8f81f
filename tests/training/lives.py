"""Lives of `drrn train`, each in a process forked from this one, which has imported torch: a start costs no seconds.

Reads a JSON list of lives a line from stdin and writes a line of what became of them to stdout. A life:

    folder, args    where to run, and `drrn`'s command line
    signal, steps,  what to send after that many steps of training and then so many seconds; 0 sends nothing
    delay, again    to send it once more after so many seconds
    within          a signal that it sends itself within so many `steps`
    call            kill itself at this call of a write, an fsync or a rename; of what is written, half is there by then
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.utils.tensorboard.writer  # here, before the forks, for speed; as drrn.apps.progress

import drrn.apps.progress  # noqa: F401
from drrn import provenance
from drrn.apps.cli import main
from drrn.errors import DRRNError
from drrn.training import checkpoint
from drrn.training import run as room
from drrn.training.fit import fit


def live(life: dict[str, Any], log: Path) -> dict[str, Any]:
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        os.close(told)
        be(life, log, tell)
    os.close(tell)
    steps = sum(bool(os.read(told, 1)) for _ in range(life["steps"])) if life["signal"] else 0
    if life["signal"]:
        time.sleep(life["delay"])
        os.kill(child, life["signal"])
        if life.get("again"):
            time.sleep(life["again"])  # two that are sent at once arrive as one
            os.kill(child, life["signal"])
    _, status = os.waitpid(child, 0)
    while os.read(told, 1):
        steps += 1
    os.close(told)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "steps": steps,
        "saved": saved(Path(life["folder"])),
        "log": log.read_text(),
    }


def saved(folder: Path) -> list[int] | str:
    """The finished epochs of the newest checkpoint, and the steps of the one begun."""
    try:
        state, damaged = checkpoint.load(folder / "run")
    except DRRNError as error:
        return str(error)
    if damaged:
        return f"{damaged} is damaged"
    return [len(state["history"]), state["step"]] if state else [0, 0]


def be(life: dict[str, Any], log: Path, tell: int) -> NoReturn:
    """The child: `drrn` with the command line of `life`."""
    here = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(here, 1)
    os.dup2(here, 2)
    os.chdir(life["folder"])
    sys.argv = ["drrn", *life["args"]]

    def telling(*args: Any, progress: Any, **options: Any) -> Any:
        step, steps = progress.step, 0

        def tell_step(*args: Any) -> None:
            nonlocal steps
            steps += 1
            os.write(tell, b".")
            if life.get("within") and steps == life["steps"]:
                os.kill(os.getpid(), life["within"])
            step(*args)

        progress.step = tell_step
        return fit(*args, progress=progress, **options)

    vars(room)["fit"] = telling
    if life.get("call"):
        die_at(life["call"])
    code: Any = 1
    try:
        main(life["args"])
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def die_at(call: int) -> None:
    calls = 0

    def mortal(act: Callable[..., Any]) -> Callable[..., Any]:
        def acting(*args: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == call:
                if act is write_bytes:
                    write_bytes(args[0], args[1][: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return act(*args)

        return acting

    write_bytes = Path.write_bytes
    Path.write_bytes = mortal(Path.write_bytes)  # type: ignore[method-assign]
    os.fsync = mortal(os.fsync)
    os.replace = mortal(os.replace)


if __name__ == "__main__":
    torch.set_num_threads(1)
    provenance.commit = lambda: "commit"
    for line in sys.stdin:
        lived = [live(life, Path(life["folder"]) / "log") for life in json.loads(line)]
        sys.stdout.write(json.dumps(lived) + "\n")
        sys.stdout.flush()
