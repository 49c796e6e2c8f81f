"""`drrn desktop install` writes entries that open pictures with `drrn serve`, and `remove` deletes them."""

import configparser
import os
import plistlib
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from drrn.apps import desktop
from drrn.serving.server import bind
from tests import command_line
from tests.serving.conftest import PATIENCE, picture


def run(*args: str) -> int:
    return command_line.run("desktop", *args)


def read(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text())
    return parser


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(sys, "platform", "linux")
    return tmp_path / "data"


def test_desktop_entries_are_installed_and_removed(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("install") == 0 == run("install")
    files = {path.relative_to(data).as_posix(): path for path in data.rglob("*") if path.is_file()}
    files.pop("applications/mimeinfo.cache", None)  # written by the desktop itself
    assert set(files) == {
        "applications/drrn.desktop",
        "kio/servicemenus/drrn.desktop",
        "nautilus/scripts/Enlarge with drrn",
        "icons/hicolor/scalable/apps/drrn.svg",
    }
    application = read(files["applications/drrn.desktop"])["Desktop Entry"]
    assert application["Exec"].endswith('"serve" "--idle" "1h" "--open" %F')
    assert {"image/png", "image/jpeg", "image/webp", "image/avif"} <= set(application["MimeType"].split(";"))
    menu = read(files["kio/servicemenus/drrn.desktop"])
    assert menu["Desktop Action enlarge"]["Exec"] == application["Exec"]
    for name in ("kio/servicemenus/drrn.desktop", "nautilus/scripts/Enlarge with drrn"):
        assert os.access(files[name], os.X_OK), name
    if validate := shutil.which("desktop-file-validate"):
        subprocess.run([validate, files["applications/drrn.desktop"]], check=True)
    assert run("remove") == 0 == run("remove")
    assert not [path for path in data.rglob("*") if path.is_file() and path.name != "mimeinfo.cache"]


@pytest.mark.parametrize("word", ["/opt/my python/bin", 'a"b', "$HOME`x`", "back\\slash", "50%"])
def test_arguments_are_quoted_as_desktops_expect(word: str) -> None:
    written = desktop._quoted(word).replace("%%", "%").replace("\\\\", "\\")  # as desktops unquote strings
    for each in (written, desktop._shell(word)):
        assert subprocess.run(["sh", "-c", f"printf %s {each}"], capture_output=True, text=True).stdout == word


def test_windows_gets_a_send_to_shortcut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """PowerShell makes the shortcut, here a fake that records its arguments. No shell interprets names of pictures."""
    monkeypatch.setenv("APPDATA", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    powershell = tmp_path / "powershell"
    powershell.write_text(
        '#!/bin/sh\n[ -d "$DRRN_LINK" ] && { echo no room >&2; exit 1; }\n'
        'printf "%s\\n" "$DRRN_PROGRAM" "$DRRN_ARGUMENTS" "$4" > "$DRRN_LINK"\n'
    )
    powershell.chmod(0o755)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "executable", "C:\\Program Files\\python.exe")
    path = tmp_path / "Microsoft/Windows/SendTo/Enlarge with drrn.lnk"
    assert run("install") == 0
    program, arguments, script = path.read_text().splitlines()
    assert program == sys.executable and arguments == "-P -m drrn serve --idle 1h --open"
    for variable in ("LINK", "PROGRAM", "ARGUMENTS"):
        assert f"$env:DRRN_{variable}" in script
    assert script.endswith("$shortcut.WindowStyle = 7; $shortcut.Save()")
    assert run("remove") == 0 and not path.exists()
    path.mkdir()
    assert run("install") == 2
    assert capsys.readouterr().err.strip().endswith("can't be written: no room")


def test_macos_gets_a_quick_action(tmp_path: Path) -> None:
    files = desktop.macos(tmp_path)
    assert {path.relative_to(tmp_path / "Library/Services").as_posix() for path in files} == {
        "Enlarge with drrn.workflow/Contents/Info.plist",
        "Enlarge with drrn.workflow/Contents/document.wflow",
    }
    info, workflow = map(plistlib.loads, files.values())
    (service,) = info["NSServices"]
    assert service["NSMenuItem"] == {"default": "Enlarge with drrn"} and service["NSSendFileTypes"] == ["public.image"]
    assert service["NSMessage"] == "runWorkflowAsService"
    assert workflow["AMDocumentVersion"] == "2"
    assert workflow["workflowMetaData"]["workflowTypeIdentifier"] == "com.apple.Automator.servicesMenu"
    (step,) = workflow["actions"]
    action = step["action"]
    assert {"AMAccepts", "AMProvides", "BundleIdentifier", "Class Name", "InputUUID", "OutputUUID", "UUID"} <= set(
        action
    )
    assert len({action["InputUUID"], action["OutputUUID"], action["UUID"]}) == 3
    parameters = action["ActionParameters"]
    assert (parameters["inputMethod"], parameters["shell"]) == (1, "/bin/sh")
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$OUT"\n')
    program.chmod(0o755)
    line = parameters["COMMAND_STRING"].replace(sys.executable, str(program)).replace(">/dev/null 2>&1 &", "")
    names = ["a & b; c.png", "it's $HOME.png"]
    environment = os.environ | {"OUT": str(tmp_path / "out")}
    subprocess.run(["/bin/sh", "-c", line, "sh", *names], env=environment, check=True)  # as Automator calls it
    assert (tmp_path / "out").read_text().splitlines() == [
        "-P",
        "-m",
        "drrn",
        "serve",
        "--idle",
        "1h",
        "--open",
        *names,
    ]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="runs what a Linux desktop runs")
def test_open_with_shows_pictures_on_the_page_of_one_service(data: Path, tmp_path: Path) -> None:
    """The command of the entry is run as by a desktop, with a fake browser that records the address."""
    assert run("install") == 0
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {opened}\n')
    browser.chmod(0o755)
    listening = bind("127.0.0.1", 0)
    port = listening.getsockname()[1]
    listening.close()
    line = read(data / "applications/drrn.desktop")["Desktop Entry"]["Exec"].replace("\\\\", "\\")
    photos = [tmp_path / "a photo.png", tmp_path / "other.png"]
    words = [[*shlex.split(line.replace("%F", shlex.quote(str(each)))), "--port", str(port)] for each in photos]
    environment = os.environ | {"BROWSER": f"{browser} %s", "XDG_CACHE_HOME": str(tmp_path), "DISPLAY": ""}
    downloads = tmp_path / "downloads"  # the current folder must not be imported from
    downloads.mkdir()
    (downloads / "numpy.py").write_text("raise SystemExit('from a stranger')")
    for seed, each in enumerate(photos):
        picture(30, 20, seed).save(each)
    with subprocess.Popen(
        [*words[0], "--models", "tiny"], cwd=downloads, env=environment, stdout=subprocess.PIPE
    ) as first:
        try:
            wait_for(opened, 1)
            second = subprocess.run([*words[1], "--models", "tiny"], cwd=downloads, env=environment, timeout=PATIENCE)
            assert second.returncode == 0
            wait_for(opened, 2)
            for address, photo in zip(opened.read_text().split(), photos, strict=True):
                marks = parse_qs(urlsplit(address).fragment)
                assert (urlsplit(address).port, marks["name"]) == (port, [photo.name])
                plan = httpx.post(f"http://127.0.0.1:{port}/api/plan", params={"source": marks["picture"][0]})
                assert plan.json()["source_width"] == 30
        finally:
            first.send_signal(signal.SIGTERM)
            assert first.wait(PATIENCE) == 143


def wait_for(file: Path, lines: int) -> None:
    end = time.monotonic() + PATIENCE
    while not file.exists() or len(file.read_text().splitlines()) < lines:
        assert time.monotonic() < end
        time.sleep(0.1)
