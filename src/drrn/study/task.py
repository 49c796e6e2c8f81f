"""A task of a study: one experiment at the size of its budget, before and after it is performed."""

from dataclasses import dataclass
from pathlib import Path

from drrn.data.pairs import label, pick_evenly, pictures_in, split
from drrn.errors import DataError, StudyError
from drrn.study.experiments import Budget, Experiment
from drrn.study.result import HELD_OUT, NAME, read_result


@dataclass(frozen=True, kw_only=True)
class Task:
    """An experiment at the size of its budget, with its folders."""

    experiment: Experiment
    budget: Budget
    data: tuple[Path, ...]
    """Folders to learn from and hold out."""
    test: tuple[Path, ...]
    """Folders of test images; if empty, the held-out images are used."""
    backbone: tuple[Path, ...]
    """For experiments with the losses vgg or lpips."""
    run: Path
    device: str
    threads: int
    jobs: int
    """Experiments running at the same time: for the record."""
    with_examples: bool

    @property
    def cost(self) -> float:
        """The work of the training: multiply-adds, up to a constant factor."""
        config = self.experiment.train
        return self.experiment.model.macs() * config.epochs * (config.epoch_steps or 1) * config.batch_size

    def split_images(self) -> tuple[list[Path], list[Path]]:
        """The images to learn from, and the held-out ones.

        Raises:
            DataError: a folder is missing or empty, or there are too few images.
        """
        config = self.experiment.train
        return split(pick_evenly(pictures_in(self.data), self.budget.pictures), config.validation, config.seed)

    def test_sets(self) -> dict[str, list[Path]]:
        """The test images, by the name of their set."""
        if not self.test:
            return {HELD_OUT: pick_evenly(self.split_images()[1], self.budget.test_pictures)}
        return {label(folder): pick_evenly(pictures_in([folder]), self.budget.test_pictures) for folder in self.test}


def is_done(task: Task) -> bool:
    """Whether the experiment has a result.

    Raises:
        StudyError: the result is damaged, or of another experiment or other images.
    """
    path = task.run / NAME
    if not path.exists():
        return False
    result = read_result(path)
    if (result.experiment, result.budget) != (task.experiment, task.budget.name):
        raise StudyError(f"{path} is of another experiment of the same name. Give another --output.")
    pictures = [label(folder) for folder in task.data], [label(folder) for folder in task.test] or [HELD_OUT]
    if (result.data["folders"], result.sets) != pictures:
        data, tests = ", ".join(result.data["folders"]), ", ".join(result.sets)
        raise StudyError(f"{path} was trained on {data} and tested on {tests}. Give these, or another --output.")
    return True


def check_images(task: Task) -> None:
    """Check that there are enough images.

    Raises:
        DataError: a folder is missing or empty, there are too few images, or two test folders have the same name.
    """
    sets = [label(folder) for folder in task.test]
    if twice := next((name for name in sets if sets.count(name) > 1), None):
        raise DataError(f"Two test folders are named {twice}. Give each once, or rename one.")
    if not all(task.test_sets().values()) or not task.split_images()[0]:
        raise DataError(
            "There are too few pictures to train on, hold out and test on. Give more with --data or --test."
        )
