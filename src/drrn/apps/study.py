"""`drrn study`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional

from drrn.apps.study_options import ExtentOptions, ImageOptions, StudyMachineOptions, parse_part
from drrn.errors import UsageError
from drrn.study.experiments import BUDGETS, BudgetName, find_experiments

if TYPE_CHECKING:
    from drrn.study.result import Results
    from drrn.study.run import Completion


def run_study(
    names: Positional[tuple[str, ...]] = (),
    /,
    *,
    images: Annotated[ImageOptions, OmitArgPrefixes],
    extent: Annotated[ExtentOptions, OmitArgPrefixes],
    machine: Annotated[StudyMachineOptions, OmitArgPrefixes],
) -> int:
    """Train, test and time experiments. Finished ones are not run again, so the same command resumes a stopped study.

    Args:
        names: Lists of experiments (see `drrn study list`), single experiments, or Python files that define a list
            EXPERIMENTS (they are executed). All lists by default.
    """
    number, count = parse_part(extent.part)
    experiments = find_experiments(names)
    try:
        from drrn.study import run as room

        room.check_packages()
    except ModuleNotFoundError as error:
        raise UsageError(f"A study needs {error.name}. Install it: pip install 'drrn[study]'.") from error
    from drrn.apps.progress import StudyProgress
    from drrn.apps.signals import SignalHandler
    from drrn.engines.engine import cores

    output = extent.output or Path("study") / extent.budget
    jobs = machine.jobs or (max(cores() // machine.threads, 1) if machine.device == "cpu" else 1)
    study = room.Study(
        experiments=experiments,
        budget=BUDGETS[extent.budget],
        seeds=extent.seeds,
        data=images.data,
        test=images.test,
        output=output,
        backbone=images.backbone,
        device=machine.device,
        threads=machine.threads,
        jobs=jobs,
    )
    signals = SignalHandler(deferred=True)
    with StudyProgress() as progress:
        tasks = room.plan(study)[number - 1 :: count]
        completions = room.run(tasks, jobs, progress, signals.has_received)
    if signals.received:
        print(f"stopped; the same command resumes {output}", file=sys.stderr)
        return signals.exit_code
    return print_completions(completions, len(tasks), output)


def print_completions(completions: "Sequence[Completion]", trainings: int, output: Path) -> int:
    """Print the folder of the results, what failed, and the next command; return the exit code."""
    from drrn.study.result import load_results

    failed = [each for each in completions if each.outcome == "failed"]
    for each in failed:
        print(f"drrn: {each.task.run}: {each.message}", file=sys.stderr)
    print(output)
    if len(failed) < trainings:
        report = "drrn study report" if output == Path("study/standard") else f"drrn study report {output}"
        print(
            f"{count_trainings(load_results(output))}\nthe page with tables, figures and verdicts: {report}",
            file=sys.stderr,
        )
    return 3 if failed else 0


def merge_studies(output: Positional[Path], folders: Positional[tuple[Path, ...]], /) -> int:
    """Copy the results of several folders into one, to report on them together.

    Results of other experiments, pictures or budgets are refused before anything is copied.

    Args:
        output: Folder for all results; existing ones are kept.
        folders: Folders of `drrn study run`, of the same study on other machines.
    """
    try:
        from drrn.study.merge import merge
    except ModuleNotFoundError as error:
        raise UsageError(f"A study needs {error.name}. Install it: pip install 'drrn[study]'.") from error
    from drrn.tables import plural

    if not folders:
        raise UsageError("Give the folders to merge after the one to merge them into.")
    print(f"{output}: {plural(merge(folders, output), 'result')}")
    return 0


def count_trainings(results: "Results") -> str:
    """`12 trainings, failed: 2 of 12 dead`."""
    from drrn.study.result import count_failures
    from drrn.tables import plural

    return f"{plural(len(results.all), 'training')}, failed: {count_failures(results.all) or 'none'}"


def list_studies() -> int:
    """Show the lists of experiments, the sections of the report they repeat, and the sizes of the budgets."""
    from drrn import tables
    from drrn.study.experiments import LISTS, describe_budget
    from drrn.study.sections import SECTIONS

    lines = [(name, SECTIONS[name].source, ", ".join(each.name for each in LISTS[name])) for name in LISTS]
    print(tables.columns(("list", "where", "experiments"), lines, texts=3))
    for budget in BUDGETS.values():
        print(f"{budget.name}: {describe_budget(budget)}")
    return 0


def report_study(output: Path | None = None, /, *, budget: BudgetName = "standard", page: Path | None = None) -> int:
    """Write a page of the results: tables, figures, and the verdict on each claim. Needs only the result.json files.

    Args:
        output: Folder of the study; by default study/ and the budget's name.
        budget: Which budget, if no folder is given.
        page: Folder for index.html, study.md and figures/; by default the folder of the study.
    """
    try:
        from drrn.study import report as room
    except ModuleNotFoundError as error:
        raise UsageError(f"A report needs {error.name}. Install it: pip install 'drrn[study]'.") from error
    from drrn.study.result import load_results

    output = output or Path("study") / budget
    results = load_results(output)
    print(room.write_report(results, page or output))
    print(count_trainings(results), file=sys.stderr)
    return 0
