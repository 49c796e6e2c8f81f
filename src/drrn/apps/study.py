"""`drrn study`."""

import sys
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from drrn.errors import UsageError
from drrn.study.experiments import BUDGETS, BudgetName, find


def run_study(
    names: Positional[tuple[str, ...]] = (),
    /,
    *,
    data: tuple[Path, ...],
    test: tuple[Path, ...] = (),
    budget: BudgetName = "standard",
    seeds: int = 3,
    jobs: int = 0,
    output: Path | None = None,
    backbone: tuple[Path, ...] = (),
    device: Literal["auto", "cpu", "cuda", "mps"] = "cpu",
    threads: int = 1,
) -> int:
    """Train, judge and time experiments. What is finished is not run again, so the same command goes on after a stop.

    Args:
        names: Lists of experiments (`drrn study list` shows them), single ones, or files of Python with a list
            EXPERIMENTS, which are run. All lists where none is named.
        data: Folders of original pictures to learn from; a tenth of them is held out for validation.
        test: Folders of pictures to judge by, of which the first decides on claims. The pictures held out where none
            is named.
        budget: How large: quick (half an hour on two cores), standard (hours on a CPU) or full (the report's sizes,
            for a GPU).
        seeds: How often each experiment is run, each time with other first weights and another split.
        jobs: Experiments at the same time; 0 for as many as the cores have room for, each with its `threads`, and
            for one on an accelerator.
        output: Folder for runs and results; study/quick, study/standard or study/full where none is named.
        backbone: A VGG, for experiments of your own with the losses vgg or lpips, as in `drrn train`.
        device: Where to compute.
        threads: CPU threads of one experiment. The same number gives the same weights.
    """
    if seeds < 1 or jobs < 0 or threads < 1:
        raise UsageError("--seeds and --threads must be at least 1, and --jobs at least 0.")
    experiments = find(names)
    try:
        from drrn.study import run as room
    except ModuleNotFoundError as error:
        raise UsageError(f"A study needs {error.name}. Install it: pip install 'drrn[study]'.") from error
    from drrn.apps.train import Stop
    from drrn.apps.watch import ShowStudy
    from drrn.engines.engine import cores

    output = output or Path("study") / budget
    jobs = jobs or (max(cores() // threads, 1) if device == "cpu" else 1)
    tasks = room.plan(
        experiments,
        BUDGETS[budget],
        seeds,
        data=data,
        test=test,
        output=output,
        backbone=backbone,
        device=device,
        threads=threads,
        jobs=jobs,
    )
    stop = Stop()
    with ShowStudy() as watch:
        ends = room.run(tasks, jobs, watch, stop.is_asked)
    if stop.signal:
        print(f"stopped; the same command resumes {output}", file=sys.stderr)
        return 128 + stop.signal
    failed = [end for end in ends if end.outcome == "failed"]
    for end in failed:
        print(f"drrn: {end.task.run}: {end.about}", file=sys.stderr)
    print(output)
    return 3 if failed else 0


def list_studies() -> int:
    """List the lists of experiments, and the sizes of the budgets."""
    from rich.console import Console
    from rich.table import Table

    from drrn.study.experiments import LISTS, about

    console = Console(soft_wrap=True)
    table = Table("list", "experiments", box=None, pad_edge=False)
    for name, experiments in LISTS.items():
        table.add_row(name, ", ".join(experiment.name for experiment in experiments))
    console.print(table)
    for name, budget in BUDGETS.items():
        console.print(f"{name}: {about(budget)}", highlight=False)
    return 0


def report_study(output: Path | None = None, /, *, budget: BudgetName = "standard", page: Path | None = None) -> int:
    """Make one page of the results: tables, figures, and the claims with their verdicts, from the result.json alone.

    Args:
        output: Folder of the study; study/ and the budget's name where none is named.
        budget: Which folder that is, where none is named.
        page: Folder for index.html, study.md and figures/; the study's own where none is named.
    """
    try:
        from drrn.study import report as room
    except ModuleNotFoundError as error:
        raise UsageError(f"A report needs {error.name}. Install it: pip install 'drrn[study]'.") from error
    from drrn.study.result import load

    output = output or Path("study") / budget
    print(room.write(load(output), page or output))
    return 0
