"""Help and completion of every command, at any terminal width, and suggestions for mistyped words."""

import inspect
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tyro

from drrn.apps import cli
from drrn.apps.commands import Commands
from drrn.apps.help import options_of
from drrn.study.experiments import find_experiments
from drrn.weights import store
from tests.command_line import run

COMMANDS = {
    **{f"drrn {name}": command for name, command in cli.COMMANDS.items() if name not in cli.GROUPS},
    **{f"drrn {group} {name}": each for group, of in cli.GROUPS.items() for name, each in of.items()},
}


def parser_of(prog: str) -> Any:
    with pytest.deprecated_call():
        return tyro.extras.get_parser(COMMANDS[prog])


def reported(capsys: pytest.CaptureFixture[str]) -> str:
    printed = capsys.readouterr()
    assert printed.err == ""
    return printed.out


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("prog", ["drrn", "drrn models", "drrn study", *COMMANDS])
def test_help_fits_the_terminal_and_shows_an_example(
    prog: str, columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert run(*prog.split()[1:], "--help") == 0
    text, _, examples = reported(capsys).rpartition("\nExample")
    assert text.startswith(f"Usage: {prog} ") and f"  {prog}" in examples
    assert max(map(len, text.splitlines())) <= columns
    assert not re.search(
        r"None|\{|default: (False|True|\))|__", re.sub(r"H_\{u-1\}|\{(stem|scale|width|height)\}", "", text)
    )


@pytest.mark.parametrize("prog", COMMANDS)
def test_help_names_exactly_the_options_that_are_parsed(prog: str) -> None:
    parsed = {name for action in parser_of(prog)._actions for name in action.option_strings}
    written = {name for group in options_of(COMMANDS[prog]).values() for each in group for name in each.spellings}
    assert written | {"-h", "--help"} == {name.replace("_", "-") for name in parsed}


@pytest.mark.parametrize("prog", cli.EXAMPLES)
def test_examples_use_commands_and_options_that_exist(prog: str) -> None:
    for example in cli.EXAMPLES[prog]:
        words = shlex.split(example.partition(" >")[0])
        length = 3 if words[1] in cli.GROUPS else 2
        parser = parser_of(" ".join(words[:length]))
        if "--help" not in words:
            assert parser.parse_args(words[length:])


def test_examples_name_only_models_that_are_packaged() -> None:
    lines = "\n".join(example for examples in cli.EXAMPLES.values() for example in examples)
    named = re.findall(r"(?:models show|-m|--models?) (\w+)(?= |$)", lines, re.MULTILINE)
    assert "base" in named and set(named) <= {*store.names(), "auto"}


def test_examples_of_a_study_name_lists_that_exist() -> None:
    named = {re.findall(r"study run (.*?) --", example)[0] for example in cli.EXAMPLES["drrn study run"]}
    assert named and all(find_experiments(names.split()) for names in named)


def test_the_options_of_a_training_are_grouped_and_written_as_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "--help") == 0
    text = " ".join(reported(capsys).split())
    assert text.index("Images and weights:") < text.index("--lr-data PATH") < text.index("--width INT")
    assert "multiples of these scales" in text and "--patch and --later-patches must" in text
    assert "--[no-]bias" in text and "--no-flat" not in text and "--run PATH" in text


def test_the_options_of_upscale_have_headings(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("upscale", "--help") == 0
    headings = re.findall(r"^(\w.*):$", reported(capsys), re.MULTILINE)
    assert headings == [
        *("Arguments", "Result", "Size", "Model", "Folders and many pictures", "Checks", "Videos", "GeoTIFF"),
        *("Machine", "Options", "Examples"),
    ]


@pytest.mark.parametrize("commands", [cli.COMMANDS, *cli.GROUPS.values()], ids=["drrn", *cli.GROUPS])
def test_the_list_of_commands_shows_the_first_sentence_of_each(commands: Commands) -> None:
    for name, summary in commands.summaries().items():
        text = " ".join((inspect.getdoc(commands[name]) or "").split("\n\n")[0].split())
        assert summary == text.partition(". ")[0].rstrip(".") + ".", name


def test_a_training_shows_the_defaults_of_the_recipe_it_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "--recipe", "modern", "--help") == 0
    text = " ".join(reported(capsys).split())
    assert "--[no-]centred" in text and "everything else like adam. (default: muon)" in text


def test_drrn_without_arguments_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 2
    alone = reported(capsys)
    assert run("--help") == 0
    assert reported(capsys) == alone
    assert "--version" in alone and all(f"\n  {name} " in alone for name in cli.COMMANDS)
    assert run("models") == 2
    assert "\n  import " in reported(capsys)


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("upscal photo.png", "drrn has no command upscal. Did you mean upscale? See drrn --help."),
        ("photo.png", "photo.png is no command. Did you mean: drrn upscale photo.png"),
        ("'my photo.png' -s 3", "my photo.png is no command. Did you mean: drrn upscale 'my photo.png' -s 3"),
        ("models shwo", "drrn models has no command shwo. Did you mean show? See drrn models --help."),
        ("upscale a.png --scal 3", "drrn upscale has no option --scal. Did you mean --scale? See drrn upscale --help."),
        ("study run --see=3", "drrn study run has no option --see. Did you mean --seeds? See drrn study run --help."),
        ("upscale a.png --zzz", "drrn upscale has no option --zzz. See drrn upscale --help."),
        ("upscale a.png -z", "drrn upscale has no option -z. See drrn upscale --help."),
        ("--scale 3", "Options follow a command, got --scale before any. See drrn --help."),
    ],
)
def test_a_mistyped_word_suggests_the_nearest(line: str, answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*shlex.split(line)) == 2
    printed = capsys.readouterr()
    assert printed.err == f"drrn: {answer}\n" and printed.out == ""


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("upscale a.png --scale abc", "--scale takes a number, got 'abc'. See drrn upscale --help."),
        ("upscale a.png -j=two", "--jobs takes a whole number, got 'two'. See drrn upscale --help."),
        ("upscale a.png --scale", "--scale takes FLOAT, and nothing was given. See drrn upscale --help."),
        ("upscale a.png --codec vp9", "--codec is one of h264, hevc, av1, ffv1, got 'vp9'. See drrn upscale --help."),
        ("tune --data d --run r --blocks 3", "--blocks takes INT INT, and only 3 was given. See drrn tune --help."),
        ("train --data d", "--run PATH is missing. See drrn train --help."),
        ("bulk plan photos", "TARGET is missing. See drrn bulk plan --help."),
        ("completion tcsh", "SHELL is one of bash, zsh, fish, got 'tcsh'. See drrn completion --help."),
        ("study report a b", "There is no use for 'b' here. See drrn study report --help."),
    ],
)
def test_arguments_that_cannot_be_parsed_are_reported_in_one_line(
    line: str, answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*shlex.split(line)) == 2
    printed = capsys.readouterr()
    assert printed.err == f"drrn: {answer}\n" and printed.out == ""


def test_options_accept_underscores_and_can_be_switched_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    absent = str(tmp_path / "absent.png")
    assert run("upscale", absent, "--max_pixels", "5", "--no-overwrite", "--size", "None") == 2
    assert "absent.png" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        (["upsc"], {"upscale"}),
        (["models", "i"], {"import"}),
        (["study", "re"], {"report"}),
        (["models", "show", "--mark"], {"--markdown"}),
        (["upscale", "--codec", "h"], {"h264", "hevc"}),
    ],
)
def test_bash_completes_commands_subcommands_options_and_choices(
    typed: list[str], completed: set[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run("completion", "bash") == 0
    (tmp_path / "drrn.bash").write_text(reported(capsys))
    words = shlex.join(["drrn", *typed])
    line = f"""source drrn.bash; spec=$(complete -p drrn); [[ $spec =~ -F\\ ([^ ]+) ]]
        COMP_WORDS=({words}) COMP_CWORD={len(typed)} COMP_LINE='{words}' COMP_POINT={len(words)}
        ${{BASH_REMATCH[1]}} drrn '{typed[-1]}' ''; printf '%s\\n' "${{COMPREPLY[@]}}" """
    ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert completed <= set(ended.stdout.split()), ended


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_completion_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("completion", shell) == 0
    script = reported(capsys)
    assert "upscale" in script and "import" in script


def test_the_installed_command_shows_its_help_without_a_terminal() -> None:
    ended = subprocess.run([sys.executable, "-m", "drrn"], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (2, "") and ended.stdout.startswith("Usage: drrn COMMAND ...")
