"""`drrn train`."""

import os
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes

from drrn.apps.signals import SignalHandler
from drrn.core.config import DRRNConfig
from drrn.errors import UsageError
from drrn.provenance import command
from drrn.training.config import RECIPES, SAVE_SECONDS, Recipe, Source, TrainConfig, read_config
from drrn.training.session import Session, Training, let_threads_sleep


def train_with(network: DRRNConfig, training: TrainConfig) -> Callable[..., int]:
    """The command, with `network` and `training` as defaults of its options."""

    def train(
        source: Annotated[Source, OmitArgPrefixes],
        run: Path,
        model: Annotated[DRRNConfig, OmitArgPrefixes] = network,
        how: Annotated[TrainConfig, OmitArgPrefixes] = training,
        recipe: Recipe = "report",
        config: Path | None = None,
        device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
        threads: int = 0,
        save_seconds: float = SAVE_SECONDS,
    ) -> int:
        """Train a DRRN on folders of pictures. The same command resumes a stopped training.

        Larger --epochs or --patience continue a finished one.

        Args:
            run: Folder for everything the training writes: config.json, history.csv, TensorBoard events, picture
                sheets, last.ckpt to resume from and best.safetensors to use.
            recipe: Defaults of the options below: report (MSE, Adam), paper (the authors' SGD) or modern (ours).
            config: A file with these defaults and the network: the config.json of a run, or the best.json of
                `drrn tune`.
            device: Where to compute. With torchrun, each process uses one device.
            threads: CPU threads, 0 for all cores. The same number gives the same weights.
            save_seconds: Seconds between two checkpoints within an epoch: the most a crash can cost.
        """
        let_threads_sleep()
        try:
            from drrn.apps.progress import TrainingProgress
            from drrn.training import run as room
        except ModuleNotFoundError as error:
            raise UsageError(f"Training needs {error.name}. Install it: pip install 'drrn[train]'.") from error
        signals = SignalHandler(deferred=True)
        with TrainingProgress(how) as progress:
            room.train(
                Training(model, how, source),
                run,
                session=Session(
                    command=command(),
                    device=device,
                    threads=threads,
                    should_stop=signals.has_received,
                    save_seconds=save_seconds,
                    extends=True,
                ),
                progress=progress,
            )
        is_first = os.environ.get("RANK", "0") == "0"  # of torchrun's processes
        if signals.received:
            if is_first:
                print(f"stopped; the same command resumes {run}", file=sys.stderr)
            return signals.exit_code
        if is_first:
            print(run / "best.safetensors")
        return 0

    return train


def defaults_in(args: list[str]) -> tuple[DRRNConfig, TrainConfig]:
    """The defaults of a command line: from its --config or --recipe, otherwise (also if unknown) the report's.

    Raises:
        UsageError: it has both.
        TrainingError: the file is missing or not a config.
    """
    recipe, config = (_last(option, args) for option in ("--recipe", "--config"))
    if recipe and config:
        raise UsageError("--recipe and --config both set the defaults of all other options. Give one of them.")
    if config:
        return read_config(Path(config))
    return DRRNConfig(), {str(name): how for name, how in RECIPES.items()}.get(recipe, RECIPES["report"])


def _last(option: str, args: list[str]) -> str:
    """The last value of `option`, or an empty string."""
    values = [
        following if word == option else word.removeprefix(f"{option}=")
        for word, following in pairwise([*args, ""])
        if word == option or word.startswith(f"{option}=")
    ]
    return values[-1] if values else ""
