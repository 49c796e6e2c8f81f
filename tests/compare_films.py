"""Compare two videos, read by PyAV: `python -m tests.compare_films film.mp4 film_x2.mp4` prints a table."""

import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import av

from tests.film_files import copied, describe, times


def main(before: Path, after: Path) -> str:
    one, other = facts(before), facts(after)
    rows = [f"| {name} | {value} | {other[name]} |" for name, value in one.items()]
    return "\n".join(["| | source | result |", "| --- | --- | --- |", *rows]) + "\n"


def facts(path: Path) -> dict[str, Any]:
    at, reported = times(path), describe(path)
    found: dict[str, Any] = {}
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        found["video"] = f"{stream.codec_context.name}, {stream.width} x {stream.height}, {reported['pixels']}"
        found["length in seconds"] = f"{(container.duration or 0) / 1e6:.3f}"
    found["frames"] = len(at)
    found["when they are shown, of all frames"] = digest(at)
    for number, (kind, packets) in enumerate(copied(path), 1):
        found[f"{kind} {number}: packets"] = len(packets)
        found[f"{kind} {number}: when, how long, and every byte"] = digest(packets)
    return found


def digest(content: Any) -> str:
    return f"`{sha256(repr(content).encode()).hexdigest()[:16]}`"


if __name__ == "__main__":
    sys.stdout.write(main(*map(Path, sys.argv[1:3])))
