"""`drrn train --config`: a file instead of a recipe, overridden by explicit options, or refused in one line."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from drrn.apps.train import defaults_in
from drrn.core.config import DRRNConfig
from drrn.errors import TrainingError, UsageError
from drrn.training.config import MODERN, PAPER, RECIPES, REPORT, TrainConfig, read_config
from tests.apps.test_cli import one_line
from tests.command_line import run
from tests.training.small_training import make_images

WHOLE: dict[str, Any] = {"model": DRRNConfig(width=4, units=1).to_dict(), "train": asdict(PAPER)}


def written(folder: Path, content: Any) -> Path:
    path = folder / "config.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("how", RECIPES.values(), ids=RECIPES)
def test_a_config_survives_its_json(how: TrainConfig) -> None:
    assert TrainConfig.from_dict(json.loads(json.dumps(asdict(how)))) == how


def test_missing_training_fields_are_the_reports(tmp_path: Path) -> None:
    path = written(tmp_path, {**WHOLE, "train": {"epochs": 7, "clip": 2}, "commit": "of a run", "psnr": 30})
    assert read_config(path) == (DRRNConfig(width=4, units=1), TrainConfig(epochs=7, clip=2))


def test_a_config_repeats_its_run_and_options_override_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_images(tmp_path / "photos", count=3)
    short = ["--scales", "2", "--patch", "16", "--stride", "0", "--epoch-steps", "2", "--batch-size", "4"]
    short += ["--epochs", "1", "--sheet-every", "0", "--loss", "l1", "--width", "4", "--units", "2", "--no-bias"]
    common = ["train", "--data", "photos", "--device", "cpu"]
    assert run(*common, "--run", "a", *short) == 0
    assert run(*common, "--run", "b", "--config", "a/config.json") == 0
    assert run(*common, "--run", "c", "--config=a/config.json", "--loss", "mse", "--units", "1", "--bias") == 0
    a, b, c = (json.loads(Path(folder, "config.json").read_text()) for folder in "abc")
    assert Path("a/history.csv").read_bytes() == Path("b/history.csv").read_bytes()
    assert all(a[part] == b[part] for part in ("model", "train", "data"))
    assert c["train"] == {**a["train"], "loss": "mse"}
    assert c["model"] == {**a["model"], "units": 1, "bias": True}


def test_the_last_recipe_or_config_option_sets_the_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, WHOLE)
    assert defaults_in(["--data", "x"]) == (DRRNConfig(), REPORT)
    assert defaults_in(["--recipe", "paper", "--recipe=modern"]) == (DRRNConfig(), MODERN)
    assert defaults_in(["--recipe", "unknown"])[1] == REPORT, "which tyro refuses"
    assert defaults_in(["--config", "absent.json", "--config", f"{path}"]) == (DRRNConfig(width=4, units=1), PAPER)
    with pytest.raises(UsageError, match="--recipe and --config both set the defaults"):
        defaults_in(["--recipe", "paper", f"--config={path}"])


def changed(part: str, **values: Any) -> dict[str, Any]:
    return {**WHOLE, part: {**WHOLE[part], **values}}


BAD: list[tuple[Any, str]] = [
    ("{", "is not a valid config: Expecting property name"),
    ("[]", "Expected an object with `model` and `train`"),
    ({"model": WHOLE["model"]}, "Expected an object with `model` and `train`"),
    ({**WHOLE, "train": [1]}, "its training is not an object"),
    ({**WHOLE, "model": {"width": 4}}, "its config has missing or unknown fields"),
    (changed("model", depth=4), "its config has missing or unknown fields: 'depth'"),
    (changed("model", units="4"), "`units` must be int, got '4'"),
    (changed("train", rate=1), "its training has unknown fields: 'rate'"),
    (changed("train", epochs=True), "`epochs` must be int, got True"),
    (changed("train", epochs=1.5), "`epochs` must be int, got 1.5"),
    (changed("train", augment=1), "`augment` must be bool, got 1"),
    (changed("train", clip="1"), "`clip` must be float, got '1'"),
    (changed("train", loss=None), "`loss` must be str, got None"),
    (changed("train", loss="l3"), "'l3'"),
    (changed("train", scales=2), "`scales` must be a list, got 2"),
    (changed("train", scales=[2, "3"]), "`scales` must be float, got '3'"),
    (changed("train", optimiser="lion"), "`optimiser` must be one of adam, sgd, muon, got 'lion'"),
    (changed("train", epochs=0), "`epochs` must be at least 1, got 0"),
    (changed("train", learning_rate=float("nan")), "`learning_rate` must be above 0, got nan"),
]


@pytest.mark.parametrize(("content", "message"), BAD, ids=lambda value: value if isinstance(value, str) else "")
def test_an_invalid_config_is_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: Any, message: str
) -> None:
    path = written(tmp_path, content)
    assert run("train", "--data", "x", "--run", str(tmp_path / "run"), "--config", str(path)) == 2
    assert message in one_line(capsys)
    assert not (tmp_path / "run").exists()


def test_an_unreadable_config_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"absent\.json can't be read: No such file"):
        read_config(tmp_path / "absent.json")
    with pytest.raises(TrainingError, match="can't be read: Is a directory"):
        read_config(tmp_path)
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(TrainingError, match="Expected an object with"):
        read_config(tmp_path / "deep.json")
    (tmp_path / "picture.json").write_bytes(b"\x89PNG\xff")
    with pytest.raises(TrainingError, match="is not a valid config"):
        read_config(tmp_path / "picture.json")
