"""The report of a fuzzing run, as JSON to keep and as Markdown to read."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from tests.hostile.harness import BATCH, Limits, Tally

HEAD: Final = (
    "format",
    "inputs",
    "read",
    "refused",
    "crashed",
    "hung",
    "other exceptions",
    "too much memory",
    "peak MB",
    "slowest, ms",
    "seconds",
    "commit",
)


@dataclass(frozen=True)
class Entry:
    """The result of fuzzing one format."""

    tally: Tally
    command: str
    commit: str
    day: str
    machine: dict[str, str]
    published: bool
    """Whether published files were also seeds."""


@dataclass(frozen=True)
class Report:
    """The latest result of each format."""

    entries: list[Entry]

    def of(self, name: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.tally.format == name), None)

    def with_entry(self, entry: Entry) -> "Report":
        """The report with this entry, which replaces one of the same format."""
        formats = [each.tally.format for each in self.entries]
        if entry.tally.format in formats:
            at = formats.index(entry.tally.format)
            return Report([*self.entries[:at], entry, *self.entries[at + 1 :]])
        return Report([*self.entries, entry])

    def to_json(self) -> str:
        return json.dumps([asdict(entry) for entry in self.entries], indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Report":
        def entry(values: dict[str, Any]) -> Entry:
            return Entry(**{**values, "tally": Tally.from_dict(values["tally"])})

        return cls([entry(values) for values in json.loads(text)])

    def to_markdown(self) -> str:
        limits, tallies = Limits(), [entry.tally for entry in self.entries]
        total = sum(tally.inputs for tally in tallies)
        findings = sum(len(tally.findings) for tally in tallies)
        machines = sorted({f"{each.machine['cpu']}, {each.machine['system']}" for each in self.entries})
        days = sorted({entry.day for entry in self.entries})
        rows = [_row(entry) for entry in self.entries]
        return "\n".join(
            [
                "# Broken files\n",
                f"{total:,} files, each a whole one with a few bytes changed, cut, doubled or taken from another, went "
                "through what `drrn upscale` does with a picture, from its first byte to the file that is written, "
                "and through what is done with weights and with the configuration of a training. "
                f"{findings or 'None'} did anything else than be read, or be refused in one sentence.\n",
                "| " + " | ".join(HEAD) + " |",
                "| --- |" + " ---: |" * (len(HEAD) - 2) + " --- |",
                *("| " + " | ".join(row) + " |" for row in rows),
                "",
                "* *crashed*: the process ended. "
                f"*hung*: over {limits.seconds:g} s of the CPU, or {limits.patience:g} s without an answer.",
                "* *other exceptions*: also noise on stderr, a sentence of several lines, a file left behind.",
                f"* *too much memory*: over {limits.megabytes:g} MB above what the process had before; *peak MB* is "
                f"the most. A process is replaced after {BATCH:,} files, and what it doesn't give back counts.",
                "* *slowest* is of the CPU, for one file; *seconds* are of the clock, on a machine with other work.",
                "* Pictures of up to 2^20 pixels, before and after they are enlarged by a network of one channel.",
                "",
                f"Written by `python -m tests.hostile` (`make fuzz`), {', '.join(days)}, on {'; '.join(machines)}. The "
                "mutations are the same for the same seeds, of which those made by the tests depend on the versions "
                f"of Pillow and libvips{_and_published(self.entries)}.",
                "",
            ]
        )


def _and_published(entries: list[Entry]) -> str:
    return "; small published files are among them" if any(entry.published for entry in entries) else ""


def _row(entry: Entry) -> list[str]:
    tally = entry.tally
    counts = (tally.inputs, tally.read, tally.refused, tally.crashed, tally.hung, tally.other, tally.greedy)
    return [
        tally.format,
        *(f"{count:,}" for count in counts),
        f"{tally.peak_mb:.0f}",
        f"{1000 * tally.slowest:.0f}",
        f"{tally.seconds:.0f}",
        entry.commit,
    ]
