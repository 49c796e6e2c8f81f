"""Experiments as values: the lists, the budgets that shrink them, and how a user adds one."""

from dataclasses import replace
from pathlib import Path

import pytest

from drrn.core.config import DRRNConfig
from drrn.errors import StudyError
from drrn.study.experiments import BASE, BUDGETS, LISTS, Budget, Experiment, find_experiments, vary
from drrn.training.config import REPORT


def names(of: str) -> list[str]:
    return [experiment.name for experiment in LISTS[of]]


def test_the_lists_are_those_of_the_report_and_the_paper() -> None:
    assert [each.model.units for each in LISTS["units"]] == [1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 25]
    assert [each.model.blocks for each in LISTS["blocks"]] == [1, 2, 3, 4, 5, 6]
    assert {(each.model.blocks, each.model.units) for each in LISTS["grid"]} == {
        (blocks, units) for blocks in (1, 2, 3) for units in (2, 4, 6)
    }
    assert [(each.model.skip, each.model.global_residual) for each in LISTS["residual"]] == [
        ("source", True),
        ("none", True),
        ("source", False),
        ("none", False),
    ]
    assert [each.model.skip for each in LISTS["skip"]] == ["source", "chain", "none"]
    assert [each.model.unshuffle for each in LISTS["unshuffle"]] == [1, 2, 4]
    assert [each.model.channels for each in LISTS["color"]] == [3, 1]
    assert [each.model.share for each in LISTS["sharing"]] == [True, False]
    assert [each.model.batch_norm for each in LISTS["norm"]] == [False, True]
    assert [each.train.initial for each in LISTS["initial"]] == ["glorot", "he"]
    assert names("loss") == ["B2U4", "L1", "Charbonnier", "MS-SSIM and L1", "MSE and focal frequency"]


def test_names_and_experiments_correspond_one_to_one() -> None:
    all_experiments = [experiment for experiments in LISTS.values() for experiment in experiments]
    assert len({each.name for each in all_experiments}) == len(set(all_experiments)) == len(find_experiments(()))


def test_the_base_is_the_reports_recipe() -> None:
    assert replace(BASE.train, scales=REPORT.scales, sheet_every=REPORT.sheet_every) == REPORT


def test_vary_changes_only_the_given_fields() -> None:
    assert vary("other", units=7, loss="l1") == Experiment(
        "other", replace(BASE.model, units=7), replace(BASE.train, loss="l1")
    )
    assert BUDGETS["quick"].shrink(vary("other", seed=7)).train.seed == vary("other", seed=7).seed == 7
    with pytest.raises(ValueError, match="no field of a model or a recipe is named unit"):
        vary("other", unit=7)


@pytest.mark.parametrize("name", ["", " a", "a/b", "..", "a.b", "a\\b", "a\0"])
def test_an_experiment_name_must_be_a_folder_name(name: str) -> None:
    with pytest.raises(ValueError, match="a valid folder name"):
        vary(name)


def test_a_budget_makes_the_network_narrower_and_the_training_shorter() -> None:
    shrunk = BUDGETS["standard"].shrink(replace(BASE, seed=3))
    assert (shrunk.model, shrunk.name) == (replace(BASE.model, width=16), "B2U4")
    assert (shrunk.train.epochs, shrunk.train.epoch_steps, shrunk.train.batch_size, shrunk.train.seed) == (
        25,
        80,
        16,
        3,
    )


def test_a_budget_keeps_the_fields_an_experiment_varies() -> None:
    budget = Budget(name="quick", narrower=16, recipe={"epochs": 2, "learning_rate": 0.5})
    shrunk = budget.shrink(vary("longer", epochs=9, width=256))
    assert (shrunk.train.epochs, shrunk.train.learning_rate, shrunk.model.width) == (9, 0.5, 16)
    assert budget.shrink(vary("narrow", width=64)).model.width == 8, "what is narrow stays as wide as a vector"
    assert budget.shrink(vary("narrower", width=4)).model.width == 4


def test_the_full_budget_is_the_report_itself() -> None:
    assert all(BUDGETS["full"].shrink(each) == each for each in find_experiments(()))


def test_names_may_be_lists_experiments_or_files(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from drrn.study.experiments import vary\n"
        "EXPERIMENTS = [vary(f'width {width}', width=width) for width in (32, 64)]\n"
    )
    assert [each.name for each in find_experiments(["sharing", "B1U9", "skip", str(file)])] == [
        "B2U4",
        "not shared",
        "B1U9",
        "chain",
        "no local residual",
        "width 32",
        "width 64",
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("EXPERIMENTS = []", "has no list EXPERIMENTS"),
        ("EXPERIMENTS = ['B1U9']", "has no list EXPERIMENTS"),
        ("", "has no list EXPERIMENTS"),
        ("1 / 0", "can't be run: ZeroDivisionError"),
        ("def", "can't be run: SyntaxError"),
        (
            "from drrn.study.experiments import vary\nEXPERIMENTS = [vary('chain', units=2)]",
            "Two different experiments are named 'chain'",
        ),
        (
            "from drrn.study.experiments import vary\nEXPERIMENTS = [vary('a', units=2), vary('a', units=3)]",
            "Two different experiments are named 'a'",
        ),
    ],
)
def test_a_file_without_experiments_is_reported(tmp_path: Path, content: str, reason: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(content)
    with pytest.raises(StudyError, match=reason):
        find_experiments([str(file)])


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(StudyError, match=r"No experiment 'nonsense'\. Give one of the lists residual, skip, units"):
        find_experiments(["nonsense"])
    with pytest.raises(StudyError, match="No file"):
        find_experiments(["nonsense.py"])


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="`seed` must be at least 0"):
        Experiment("a", DRRNConfig(), seed=-1)
