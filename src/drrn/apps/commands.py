"""The commands of `drrn`: where each one is, imported when it is asked for, and what the lists of commands say of it.

`drrn --help` shows the summaries below and imports none of them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

Command = Callable[..., Any]

ABOUT = "Enlarge pictures with the Deep Recursive Residual Network, and train and evaluate such networks."


@dataclass(frozen=True)
class Entry:
    """Where a command is."""

    module: str
    function: str
    summary: str
    """The first sentence of its docstring."""
    has_defaults: bool = False
    """Whether `function` makes the command, from the defaults that the command line names in a recipe or a file."""


class Commands(Mapping[str, Command]):
    """Commands by name, imported when they are looked up."""

    def __init__(self, entries: Mapping[str, Entry]):
        self._entries = entries

    def __getitem__(self, name: str) -> Command:
        return self.load(name, [])

    def __contains__(self, name: object) -> bool:
        return name in self._entries  # Mapping would import it

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def load(self, name: str, args: Sequence[str]) -> Command:
        """The command, with the defaults that `args` name.

        Raises:
            DRRNError: as `drrn.apps.train.defaults_in`.
        """
        entry = self._entries[name]
        command: Command = getattr(import_module(entry.module), entry.function)
        if entry.has_defaults:
            from drrn.apps.train import defaults_in

            command = command(*defaults_in(list(args)))
        return command

    def summaries(self) -> dict[str, str]:
        """What a list of commands says of each."""
        return {name: entry.summary for name, entry in self._entries.items()}


def models() -> int:
    """List, show, join and import models."""
    raise AssertionError("parsed as a group of commands")


def study() -> int:
    """Run experiments, and report what they show."""
    raise AssertionError("parsed as a group of commands")


def bulk() -> int:
    """Enlarge very many files, on one machine or several."""
    raise AssertionError("parsed as a group of commands")


def desktop() -> int:
    """Add drrn to the menus of a desktop."""
    raise AssertionError("parsed as a group of commands")


COMMANDS = Commands(
    {
        "upscale": Entry("drrn.apps.upscale", "upscale", "Enlarge pictures: photo.png becomes photo_x2.png."),
        "serve": Entry("drrn.apps.serve", "serve", "Serve a web page and a REST API that enlarge pictures."),
        "train": Entry("drrn.apps.train", "train_with", "Train a DRRN on folders of pictures.", has_defaults=True),
        "tune": Entry(
            "drrn.apps.tune",
            "tune_with",
            "Search for the network and the recipe that suit your pictures.",
            has_defaults=True,
        ),
        "evaluate": Entry(
            "drrn.apps.evaluate",
            "evaluate",
            "Evaluate models by the protocol of the papers: bicubic first, then published results, then the models.",
        ),
        "compare": Entry(
            "drrn.apps.compare",
            "compare",
            "Reduce an original, enlarge it again, and show lr, bicubic, drrn and the original side by side.",
        ),
        "export": Entry(
            "drrn.apps.export",
            "export",
            "Export a model as ONNX, for programs without drrn, after checking its results in ONNX Runtime.",
        ),
        "models": Entry(__name__, "models", "List, show, join and import models."),
        "study": Entry(__name__, "study", "Run experiments, and report what they show."),
        "bulk": Entry(__name__, "bulk", "Enlarge very many files, on one machine or several."),
        "desktop": Entry(__name__, "desktop", "Add drrn to the menus of a desktop."),
        "completion": Entry(
            "drrn.apps.completion",
            "completion",
            "Print a script for tab completion of drrn's commands and options.",
        ),
    }
)
MODELS = Commands(
    {
        "list": Entry(
            "drrn.apps.models",
            "list_models",
            "List the packaged models, with their speed (measured now) and their PSNR (from their cards).",
        ),
        "show": Entry("drrn.apps.models", "show_model", "Show what a model is and where it comes from."),
        "join": Entry(
            "drrn.apps.models",
            "join_models",
            "Join networks for x2, x3 and x4 into one model for all scales up to the largest.",
        ),
        "import": Entry("drrn.apps.models", "import_model", "Import the .pth file of another project's DRRN."),
    }
)
STUDY = Commands(
    {
        "run": Entry("drrn.apps.study", "run_study", "Train, test and time experiments."),
        "merge": Entry(
            "drrn.apps.study",
            "merge_studies",
            "Copy the results of several folders into one, to report on them together.",
        ),
        "report": Entry(
            "drrn.apps.study",
            "report_study",
            "Write a page of the results: tables, figures, and the verdict on each claim.",
        ),
        "list": Entry(
            "drrn.apps.study",
            "list_studies",
            "Show the lists of experiments, the sections of the report they repeat, and the sizes of the budgets.",
        ),
    }
)
BULK = Commands(
    {
        "plan": Entry(
            "drrn.apps.bulk",
            "plan_bulk",
            "List the pictures of a folder, and divide them into parts that machines can run.",
        ),
        "run": Entry(
            "drrn.apps.bulk", "run_bulk", "Run the parts of a plan that are not done, here or in a Ray cluster."
        ),
        "status": Entry("drrn.apps.bulk", "show_bulk", "Show how much of a plan is done, by all machines together."),
    }
)
DESKTOP = Commands(
    {
        "install": Entry("drrn.apps.desktop", "install", 'Add "Enlarge with drrn" to the menus of this desktop.'),
        "remove": Entry("drrn.apps.desktop", "remove", "Remove what `drrn desktop install` has added."),
    }
)
GROUPS = {"models": MODELS, "study": STUDY, "bulk": BULK, "desktop": DESKTOP}
EXIT_CODES = {
    0: "Done.",
    1: "A bug in drrn: the traceback says where.",
    2: "Bad input or usage. One line says what was found, what was expected and what to do; nothing was written.",
    3: "Some pictures of many failed. They are listed, the others are written.",
    130: "Stopped by Ctrl-C (SIGINT). Work that can be resumed continues with the same command.",
    141: "The program that reads the output has gone, as when it is piped into `head`.",
    143: "Stopped by SIGTERM. Work that can be resumed continues with the same command.",
}
"""What each exit code means."""
EXAMPLES: dict[str, tuple[str, ...]] = {
    "drrn": ("drrn upscale photo.png", "drrn upscale --help"),
    "drrn upscale": (
        "drrn upscale photo.png",
        "drrn upscale photo.jpg -s 3 -o large.webp",
        "drrn upscale holiday -r -o holiday_large -m auto --budget 30s",
    ),
    "drrn serve": (
        "drrn serve --open",
        "drrn serve --host 0.0.0.0 --keep 10m",
    ),
    "drrn train": ("drrn train --data pictures --run runs/mine --recipe modern",),
    "drrn tune": ("drrn tune --data pictures --run searches/mine --trials 30",),
    "drrn evaluate": ("drrn evaluate tiny small --data Set5 Set14 --scales 2 3 4",),
    "drrn compare": ("drrn compare photo.png -o sheet.png -s 3 --crop 160x120+200+40",),
    "drrn export": ("drrn export base_x2.onnx -m base -s 2",),
    "drrn completion": (
        "drrn completion bash > ~/.local/share/bash-completion/completions/drrn",
        "drrn completion fish > ~/.config/fish/completions/drrn.fish",
    ),
    "drrn desktop": ("drrn desktop install",),
    "drrn desktop install": ("drrn desktop install",),
    "drrn desktop remove": ("drrn desktop remove",),
    "drrn models": ("drrn models list",),
    "drrn models list": ("drrn models list --json",),
    "drrn models show": ("drrn models show base --markdown",),
    "drrn models join": ("drrn models join x2.safetensors x3.safetensors x4.safetensors -o mine.safetensors",),
    "drrn models import": ("drrn models import drrn.pth --units 9 -o imported.safetensors",),
    "drrn study": ("drrn study run residual --data pictures --budget quick",),
    "drrn study run": ("drrn study run residual --data pictures --budget quick",),
    "drrn study merge": ("drrn study merge study/all study/here study/there",),
    "drrn study report": ("drrn study report --budget quick",),
    "drrn study list": ("drrn study list",),
    "drrn bulk": ("drrn bulk plan photos larger -s 2", "drrn bulk run larger", "drrn bulk status larger"),
    "drrn bulk plan": ("drrn bulk plan photos larger -s 2 -m base",),
    "drrn bulk run": ("drrn bulk run larger --jobs 2", "drrn bulk run larger --part $SLURM_ARRAY_TASK_ID"),
    "drrn bulk status": ("drrn bulk status larger --failed",),
}
"""What the help of each command ends with."""
