"""Run `drrn train` in processes forked from this one, which has already imported torch, so that starts are fast.

For `tests.forks.start_script`. An attempt:

    folder, args    where to run, and `drrn`'s command line
    signal, steps,  the signal to send after this many steps and then this many seconds; 0 sends none
    delay, again    seconds after which to send it once more
    within          a signal that it sends to itself within this many `steps`
    call            kill itself at this call of a write, an fsync or a rename; a write is half done by then
    processes       how many train together, as torchrun would start them; their output one after the other
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.utils.tensorboard.writer  # here, before the forks, for speed; as drrn.apps.progress

import drrn.apps.progress  # noqa: F401
from drrn import provenance
from drrn.errors import DRRNError
from drrn.training import checkpoint
from drrn.training import run as room
from drrn.training.events import Step, TrainingEvent
from drrn.training.fit import fit
from tests.forks import answer_plans, run_and_exit


def run_attempt(attempt: dict[str, Any], log: Path) -> dict[str, Any]:
    reader, writer = os.pipe()
    count = attempt.get("processes", 1)
    port = free_port()
    child, *others = (
        fork_process(attempt, log.with_suffix(f".{rank}"), reader, writer, rank, port) for rank in range(count)
    )
    os.close(writer)
    steps = sum(bool(os.read(reader, 1)) for _ in range(attempt["steps"])) if attempt["signal"] else 0
    if attempt["signal"]:
        time.sleep(attempt["delay"])
        os.kill(child, attempt["signal"])
        if attempt.get("again"):
            time.sleep(attempt["again"])  # two signals sent at once arrive as one
            os.kill(child, attempt["signal"])
    _, status = os.waitpid(child, 0)
    while os.read(reader, 1):
        steps += 1
    os.close(reader)
    codes = [os.waitstatus_to_exitcode(each) for each in (status, *(os.waitpid(other, 0)[1] for other in others))]
    return {
        "code": max(codes, key=abs),
        "steps": steps,
        "saved": read_saved(Path(attempt["folder"])),
        "log": "".join(log.with_suffix(f".{rank}").read_text() for rank in range(count)),
    }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def fork_process(attempt: dict[str, Any], log: Path, reader: int, writer: int, rank: int, port: int) -> int:
    """Fork one of the processes of an attempt; its id."""
    child = os.fork()
    if not child:
        os.close(reader)
        if (count := attempt.get("processes", 1)) > 1:
            os.environ |= {"TORCHELASTIC_RUN_ID": "none", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            os.environ |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0"}
        run_child(attempt, log, writer)
    return child


def read_saved(folder: Path) -> list[int] | str:
    """Finished epochs, and steps of the current epoch, in the newest checkpoint."""
    try:
        state, damaged = checkpoint.load(folder / "run")
    except DRRNError as error:
        return str(error)
    if damaged:
        return f"{damaged} is damaged"
    return [len(state["history"]), state["step"]] if state else [0, 0]


def run_child(attempt: dict[str, Any], log: Path, writer: int) -> NoReturn:
    """The child process: run `drrn` with the attempt's command line."""
    here = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(here, 1)
    os.dup2(here, 2)
    os.chdir(attempt["folder"])
    sys.argv = ["drrn", *attempt["args"]]

    def fit_and_report(*args: Any, progress: Any, **options: Any) -> Any:
        report, steps = progress.report, 0

        def report_step(event: TrainingEvent) -> None:
            nonlocal steps
            if not isinstance(event, Step):
                return report(event)
            steps += 1
            os.write(writer, b".")
            if attempt.get("within") and steps == attempt["steps"]:
                os.kill(os.getpid(), attempt["within"])
            return report(event)

        progress.report = report_step
        return fit(*args, progress=progress, **options)

    vars(room)["fit"] = fit_and_report
    if attempt.get("call"):
        die_at(attempt["call"])
    run_and_exit(attempt["args"])


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
    provenance.commit = cache(lambda: "commit")
    answer_plans(lambda attempt: run_attempt(attempt, Path(attempt["folder"]) / "log"))
