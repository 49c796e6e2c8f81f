"""`drrn train` killed, stopped and run again: some steps are repeated, and the result is the same."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from drrn.training import checkpoint
from drrn.weights.store import load
from tests.forks import ENVIRONMENT, start_script
from tests.training.small_training import make_images, read_outputs

HERE = Path(__file__).parent
pytestmark = pytest.mark.slow

RunAttempts = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


def command(epochs: int, **options: Any) -> list[str]:
    words = (
        "train --data ../pictures --run run --width 4 --units 2 --scales 2 --patch 16 --stride 8 --batch-size 8 "
        f"--ema-decay 0.9 --patience 0 --device cpu --threads 1 --sheet-every 4 --epochs {epochs}"
    )
    return words.split() + [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]


@pytest.fixture(scope="module")
def run_attempts() -> Iterator[RunAttempts]:
    """A function that runs the attempts of a plan one after the other, and returns their results; see attempts.py."""
    with start_script(HERE / "attempts.py") as run:
        yield lambda plan: run([{"signal": 0, "steps": 0, "delay": 0} | attempt for attempt in plan])


@pytest.mark.parametrize("kills", [9, pytest.param(200, marks=pytest.mark.full)])
def test_a_training_killed_at_random_ends_in_the_same_bytes(
    tmp_path: Path, run_attempts: RunAttempts, kills: int
) -> None:
    make_images(tmp_path / "pictures")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    rng, epochs = random.Random(0), 1 + kills // 3
    plan: list[dict[str, Any]] = []
    for number in range(kills):
        save_seconds = (0, 0, 0.05)[number % 3]
        attempt = {"folder": str(killed), "args": command(epochs, save_seconds=save_seconds)}
        if number % 2:
            plan.append({**attempt, "call": rng.randint(1, 20)})
        else:
            plan.append({**attempt, "signal": 9, "steps": rng.randint(0, 5), "delay": rng.uniform(0, 0.05)})
    plan.append({"folder": str(killed), "args": command(epochs)})
    plan.append({"folder": str(whole), "args": plan[0]["args"]})  # the card of the weights records the first command
    *deaths, last, uninterrupted = run_attempts(plan)

    assert uninterrupted["code"] == 0, uninterrupted["log"]
    assert last["code"] == 0, last["log"]
    assert [death["code"] for death in deaths] == [-signal.SIGKILL] * kills
    assert not any("Traceback" in death["log"] for death in deaths)
    assert all(isinstance(death["saved"], list) for death in deaths), [death["saved"] for death in deaths]

    per_epoch = uninterrupted["steps"] // epochs
    progress = [0] + [per_epoch * done + step for done, step in (death["saved"] for death in deaths)]
    for attempt, death, before, after in zip(plan, deaths, progress, progress[1:], strict=False):
        saves_every_step = "--save-seconds=0" in attempt["args"]
        assert after >= before + (death["steps"] - 1 if saves_every_step else 0), (
            "more than a checkpoint's time was lost"
        )
    assert sum(death["saved"][1] > 0 for death in deaths) > kills // 4, "too few were killed within an epoch"
    assert progress[-1] < epochs * per_epoch, "it was done before the last kill"

    assert read_outputs(killed / "run") == read_outputs(whole / "run")
    assert not [*killed.rglob(".drrn-*")], "a killed write left its temporary file"


@pytest.mark.parametrize("step", [3, pytest.param(1, marks=pytest.mark.full)])
def test_a_training_killed_at_any_point_of_saving_ends_in_the_same_bytes(
    tmp_path: Path, run_attempts: RunAttempts, step: int
) -> None:
    """At every write, fsync and rename of config.json, a checkpoint per step, the weights and the table."""
    make_images(tmp_path / "pictures")
    args = command(1, epoch_steps=2, save_seconds=0)
    plan: list[dict[str, Any]] = [{"folder": str(tmp_path / "whole"), "args": args}]
    calls = range(1, 31, step)
    for call in calls:
        folder = {"folder": str(tmp_path / str(call)), "args": args}
        plan += [{**folder, "call": call}, folder]
    for attempt in plan:
        Path(attempt["folder"]).mkdir(exist_ok=True)
    whole, *parts = run_attempts(plan)
    assert whole["code"] == 0, whole["log"]
    for call, killed, ended in zip(calls, parts[::2], parts[1::2], strict=True):
        assert killed["code"] == -signal.SIGKILL, f"it makes fewer than {call} calls"
        assert isinstance(killed["saved"], list), killed["saved"]
        assert ended["code"] == 0, ended["log"]
        assert read_outputs(tmp_path / str(call) / "run") == read_outputs(tmp_path / "whole/run"), (
            f"killed at call {call}"
        )


def test_a_signal_stops_within_one_step_and_leaves_a_checkpoint(tmp_path: Path, run_attempts: RunAttempts) -> None:
    make_images(tmp_path / "pictures")
    rng = random.Random(1)
    plan: list[dict[str, Any]] = []
    for number in range(10):
        folder = tmp_path / str(number % 2)
        folder.mkdir(exist_ok=True)
        end = (signal.SIGTERM, signal.SIGINT)[number % 2]
        attempt: dict[str, Any] = {"folder": str(folder), "args": command(7), "steps": rng.randint(1, 13)}
        plan.append(attempt | ({"signal": end, "delay": rng.uniform(0, 0.02)} if number < 5 else {"within": end}))
    plan += [{"folder": str(tmp_path / name), "args": command(7)} for name in "01"]
    *ended, one, other = run_attempts(plan)
    before = {0: 0, 1: 0}
    for number, attempt in enumerate(ended):
        assert attempt["code"] == (143, 130)[number % 2], attempt["log"]
        assert number < 5 or attempt["steps"] <= plan[number]["steps"] + 1, "it went on after a signal"
        assert "Traceback" not in attempt["log"]
        assert "the same command resumes" in attempt["log"]
        done, step = attempt["saved"]
        after = done * 12 + step
        assert after == before[number % 2] + attempt["steps"], "a step that was made was not saved"
        before[number % 2] = after
    assert (one["code"], other["code"]) == (0, 0)
    assert read_outputs(tmp_path / "0/run") == read_outputs(tmp_path / "1/run")


def test_a_second_signal_stops_at_once(tmp_path: Path, run_attempts: RunAttempts) -> None:
    make_images(tmp_path / "pictures")
    # the second step takes seconds: after only one signal it would finish
    slow = command(1, width=128, units=15, patch=24, stride=24, epoch_steps=9)
    attempt = {"folder": str(tmp_path), "args": [word.replace("../", "") for word in slow], "steps": 1}
    ends = [signal.SIGINT, signal.SIGTERM]
    for ended in run_attempts([{**attempt, "signal": end, "delay": 0.1, "again": 0.5} for end in ends]):
        assert ended["code"] in (-signal.SIGINT, -signal.SIGTERM), ended["log"]
        assert ended["steps"] == 1
        assert "Traceback" not in ended["log"]


def test_divergence_is_reported_in_one_line(tmp_path: Path, run_attempts: RunAttempts) -> None:
    make_images(tmp_path / "pictures")
    (tmp_path / "a").mkdir()
    (ended,) = run_attempts([{"folder": str(tmp_path / "a"), "args": command(3, learning_rate=1e30, save_seconds=0)}])
    assert ended["code"] == 2
    assert "Traceback" not in ended["log"]
    assert "is not finite, in epoch 1" in ended["log"] and "Lower --learning-rate or --clip" in ended["log"]


@pytest.mark.parametrize("optimiser", [pytest.param("adam", marks=pytest.mark.full), "muon"])
def test_two_processes_learn_the_same_as_one_also_in_parts(
    tmp_path: Path, run_attempts: RunAttempts, optimiser: str
) -> None:
    make_images(tmp_path / "pictures")
    two, one = tmp_path / "two", tmp_path / "one"
    two.mkdir()
    one.mkdir()
    plan: list[dict[str, Any]] = [
        {"folder": str(two), "args": command(2, optimiser=optimiser, accumulate=2), "processes": 2},
        {"folder": str(one), "args": command(2, optimiser=optimiser, accumulate=1)},
    ]
    for ended in run_attempts(plan):
        assert ended["code"] == 0, ended["log"]
        assert ended["log"].count("run/best.safetensors\n") == 1, "only the first process may print"
    compare_runs(two, one)


def compare_runs(two: Path, one: Path) -> None:
    theirs, ours = (load(folder / "run/best.safetensors").tensors for folder in (two, one))
    for name in ours:
        assert abs(ours[name] - theirs[name]).max() < 1e-5, name
    states = [checkpoint.load(folder / "run")[0] for folder in (two, one)]
    assert states[0] and states[1]
    for row, same in zip(states[0]["history"], states[1]["history"], strict=True):
        assert row == pytest.approx(same, rel=1e-4)


@pytest.mark.full
def test_two_processes_of_torchrun_learn_the_same_as_one(tmp_path: Path) -> None:
    """With the command line of the documents; each process imports everything itself."""
    make_images(tmp_path / "pictures")
    two, one = tmp_path / "two", tmp_path / "one"
    launchers = [(two, "torch.distributed.run --standalone --nproc-per-node 2 -m -- drrn", 2), (one, "drrn", 1)]
    for folder, launcher, parts in launchers:
        folder.mkdir()
        words = [sys.executable, "-m", *launcher.split(), *command(2, accumulate=parts)]
        done = subprocess.run(words, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["run/best.safetensors"], "only the first process may print"
    compare_runs(two, one)


@contextmanager
def two_machines(folder: Path, words: list[str]) -> Iterator[list[subprocess.Popen[str]]]:
    """torchrun as on two machines, here both on the loopback interface. They are stopped at the end of the block."""
    launcher = (
        "torch.distributed.run --nnodes 2 --nproc-per-node 1 --rdzv-backend c10d "
        f"--rdzv-endpoint 127.0.0.1:{free_port()} --local-addr 127.0.0.1 -m -- drrn"
    )
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-m", *launcher.split(), *words]
    machines = [subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, **pipes) for _ in range(2)]

    def stop() -> None:
        for machine in machines:
            machine.terminate()

    watchdog = threading.Timer(600, stop)
    watchdog.start()
    try:
        yield machines
    finally:
        watchdog.cancel()
        stop()
        for machine in machines:
            machine.communicate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def kill_with_children(process: subprocess.Popen[str]) -> None:
    """Kill a process with its children, as if its machine were switched off."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in [process.pid, *map(int, children)]:
        os.kill(pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.full
@pytest.mark.skipif(sys.platform != "linux", reason="children of a process are looked up in /proc")
def test_two_machines_equal_two_processes_on_one_and_resume_after_one_is_lost(tmp_path: Path) -> None:
    make_images(tmp_path / "pictures")
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    standalone = "torch.distributed.run --standalone --nproc-per-node 2 -m -- drrn"
    words = command(30, save_seconds=0)
    alone = subprocess.run(
        [sys.executable, "-m", *standalone.split(), *words], cwd=one, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert alone.returncode == 0, alone.stderr

    with two_machines(two, words) as machines:
        while not (two / "run/last.ckpt").exists() and machines[1].poll() is None:
            time.sleep(0.05)
        kill_with_children(machines[1])
        printed = machines[0].communicate()[1]
        assert machines[0].returncode != 0
        assert "drrn: Another process of this training ended or can't be reached. Start all of them again" in printed

    with two_machines(two, words) as machines:
        for machine in machines:
            printed = machine.communicate()[1]
            assert machine.returncode == 0, printed
    assert read_outputs(two / "run") == read_outputs(one / "run")
