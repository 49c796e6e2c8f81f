"""A process that tries mutated files one after the other. Its parent knows which one made it crash or hang.

A request is a line of JSON, {"format", "begin", "end"} or {"format", "file"}. The answer is a line for each input,
an `Outcome` as JSON.
"""

import faulthandler
import json
import os
import resource
import shutil
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import Literal, NamedTuple

from drrn.errors import DRRNError
from tests.hostile.formats import Format
from tests.hostile.mutations import mutated

ADDRESS_SPACE = 16 << 30
"""Bytes that the process may map, so that a huge allocation fails harmlessly."""

What = Literal["ready", "read", "refused", "other"]


class Outcome(NamedTuple):
    """The outcome of one input."""

    what: What
    """other: neither read nor properly refused."""
    why: str
    kilobytes: int
    """Peak memory, on top of what the process used before its first input of this format."""
    seconds: float
    """CPU time."""


def main() -> None:
    module, place, published = sys.argv[1:]
    formats: dict[str, Format] = import_module(module).FORMATS
    published_folder, folder = Path(published) if published else None, Path(place)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # so that output of libraries is not taken for an answer
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))

    def answer(outcome: Outcome) -> None:
        answers.write(json.dumps(outcome) + "\n")

    for line in sys.stdin:
        request = json.loads(line)
        form = formats[request["format"]]
        seeds = form.all_seeds(published_folder)
        for seed in seeds:  # so that imports and set-up do not count for the first input
            _try_file(form, seed, folder, 0)
        base = _kilobytes("VmRSS")
        answer(Outcome("ready", "", 0, 0))
        if "file" in request:
            answer(_try_file(form, Path(request["file"]).read_bytes(), folder, base))
            continue
        for number in range(request["begin"], request["end"]):
            answer(_try_file(form, mutated(form, seeds, number), folder, base))


def _try_file(form: Format, content: bytes, folder: Path, base: int) -> Outcome:
    path, out = folder / f"input{form.suffix}", folder / "out"
    path.unlink(missing_ok=True)  # not overwritten, which would crash a reader that has it mapped
    path.write_bytes(content)
    out.mkdir(exist_ok=True)
    printed = os.fstat(2).st_size
    _forget_peak()
    began = time.process_time()
    what: What
    try:
        form.attempt(path, out)
        what, why = "read", ""
    except DRRNError as error:
        what, why = "refused", str(error)
        if not why or not why.isprintable():  # a terminal must not obey a file
            what, why = "other", f"no sentence on one line: {why!r}"
        elif left := sorted(out.iterdir()):
            what, why = "other", f"refused, and left {left}: {why}"
    except Exception:
        what, why = "other", traceback.format_exc()
    seconds = time.process_time() - began
    if noise := os.fstat(2).st_size - printed:
        what, why = "other", f"on stderr: {os.pread(2, min(noise, 500), printed)!r}. {why}"
    shutil.rmtree(out)
    return Outcome(what, why, _kilobytes("VmHWM") - base, round(seconds, 4))


def _kilobytes(name: str) -> int:
    return int(Path("/proc/self/status").read_text().partition(f"{name}:")[2].split()[0])


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    main()
