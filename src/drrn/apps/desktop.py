"""`drrn desktop`: entries in the menus of a desktop that open pictures with `drrn serve`."""

import os
import plistlib
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from drrn.errors import DRRNError, printable

TITLE = "Enlarge with drrn"
IDLE = "1h"
"""After which a service that was started from a menu ends, if nobody uses it."""
SHORTCUT = (
    "$ErrorActionPreference = 'Stop'; "
    "$shortcut = (New-Object -ComObject WScript.Shell).CreateShortcut($env:DRRN_LINK); "
    "$shortcut.TargetPath = $env:DRRN_PROGRAM; $shortcut.Arguments = $env:DRRN_ARGUMENTS; "
    "$shortcut.WindowStyle = 7; $shortcut.Save()"
)
"""What PowerShell runs to write a shortcut, to a minimized window."""
MIME = (
    *("image/png", "image/jpeg", "image/webp", "image/tiff", "image/bmp", "image/gif", "image/avif"),
    *("image/x-portable-anymap", "image/x-portable-pixmap", "image/x-portable-graymap", "image/x-portable-bitmap"),
)


def install() -> int:
    """Add "Enlarge with drrn" to the menus of this desktop.

    On Linux: Open with, the scripts of GNOME's Files and the menu of KDE's Dolphin. On Windows: Send to. On macOS: a
    Quick Action. Files are written to your own folders only, and your default programs stay the same.
    """
    for path, content in entries().items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".lnk":
                make_shortcut(path)
            else:
                path.write_bytes(content)
            if content.startswith(b"#!") or path.parent.name == "servicemenus":
                path.chmod(0o755)  # KDE takes no menu that is not
        except OSError as error:
            raise DRRNError(f"{printable(path)} can't be written: {error.strerror or error}.") from error
        print(path)
    _tell_the_desktop()
    return 0


def remove() -> int:
    """Remove what `drrn desktop install` has added."""
    for path in entries():
        with suppress(FileNotFoundError):
            path.unlink()
            print(path)
        for folder in path.parents:  # of a Quick Action, which is a folder
            if folder.suffix in (".workflow",) or folder.parent.suffix == ".workflow":
                with suppress(OSError):
                    folder.rmdir()
    _tell_the_desktop()
    return 0


def entries() -> dict[Path, bytes]:
    """Return the files to install and their contents; for a shortcut none, since Windows creates it itself."""
    platform: str = sys.platform  # a variable, because mypy treats branches on sys.platform itself as unreachable
    if platform == "win32":
        return windows(Path(os.environ.get("APPDATA", str(Path.home() / "AppData/Roaming"))))
    return macos(Path.home()) if platform == "darwin" else linux(_data_home())


def linux(data: Path) -> dict[Path, bytes]:
    """Below the user's data, by default ~/.local/share."""
    command = " ".join(map(_quoted, _command()))
    types = "".join(f"{each};" for each in MIME)
    application = f"""[Desktop Entry]
Type=Application
Name=drrn
GenericName=Picture Enlarger
Comment=Enlarge pictures, and compare before and after
Exec={command} %F
Icon=drrn
Terminal=false
StartupNotify=true
Categories=Graphics;2DGraphics;RasterGraphics;
Keywords=upscale;enlarge;super-resolution;
MimeType={types}
"""
    menu = f"""[Desktop Entry]
Type=Service
X-KDE-ServiceTypes=KonqPopupMenu/Plugin
MimeType={types}
Actions=enlarge;

[Desktop Action enlarge]
Name={TITLE}
Icon=drrn
Exec={command} %F
"""
    script = f'#!/bin/sh\n# {TITLE}: a script for Nautilus\nexec {" ".join(map(_shell, _command()))} "$@"\n'
    icon = (Path(__file__).parents[1] / "serving/page/icon.svg").read_bytes()
    return {
        data / "applications/drrn.desktop": application.encode(),
        data / "kio/servicemenus/drrn.desktop": menu.encode(),
        data / f"nautilus/scripts/{TITLE}": script.encode(),
        data / "icons/hicolor/scalable/apps/drrn.svg": icon,
    }


def windows(data: Path) -> dict[Path, bytes]:
    """Below %APPDATA%. A shortcut, as cmd.exe would run what follows an & in the name of a picture. Not tried."""
    return {data / f"Microsoft/Windows/SendTo/{TITLE}.lnk": b""}


def make_shortcut(path: Path) -> None:
    """Let Windows write a shortcut to `drrn serve`; pictures that are sent to it follow its arguments.

    Raises:
        DRRNError: Windows refuses.
    """
    program, *arguments = _command()
    values = {"DRRN_LINK": str(path), "DRRN_PROGRAM": program, "DRRN_ARGUMENTS": subprocess.list2cmdline(arguments)}
    line = ["powershell", "-NoProfile", "-NonInteractive", "-Command", SHORTCUT]
    try:
        subprocess.run(line, env=os.environ | values, capture_output=True, text=True, check=True)
    except subprocess.CalledProcessError as error:
        reason = " ".join(error.stderr.split())[:300]
        raise DRRNError(f"{printable(path)} can't be written: {printable(reason)}") from error


def macos(home: Path) -> dict[Path, bytes]:
    """Below the user's folder. Not tried."""
    inside = home / f"Library/Services/{TITLE}.workflow/Contents"
    service = {
        "NSMenuItem": {"default": TITLE},
        "NSMessage": "runWorkflowAsService",
        "NSRequiredContext": {"NSApplicationIdentifier": "com.apple.finder"},
        "NSSendFileTypes": ["public.image"],
    }
    text = {"Container": "List", "Types": ["com.apple.cocoa.string"]}
    program = "/System/Library/Automator/Run Shell Script.action"
    action = {
        "AMAccepts": {**text, "Optional": True},
        "AMActionVersion": "2.0.3",
        "AMApplication": ["Automator"],
        "AMProvides": text,
        "ActionBundlePath": program,
        "ActionName": "Run Shell Script",
        "ActionParameters": {
            "COMMAND_STRING": f'{" ".join(map(_shell, _command()))} "$@" >/dev/null 2>&1 &',
            "CheckedForUserDefaultShell": True,
            "inputMethod": 1,  # files as arguments
            "shell": "/bin/sh",
            "source": "",
        },
        "BundleIdentifier": "com.apple.RunShellScript",
        "CFBundleVersion": "2.0.3",
        "CanShowSelectedItemsWhenRun": False,
        "CanShowWhenRun": True,
        "Category": ["AMCategoryUtilities"],
        "Class Name": "RunShellScriptAction",
        **{key: str(uuid5(NAMESPACE_URL, f"drrn/{key}")).upper() for key in ("InputUUID", "OutputUUID", "UUID")},
        "isViewVisible": True,
        "nibPath": f"{program}/Contents/Resources/Base.lproj/main.nib",
    }
    workflow = {
        "AMApplicationVersion": "2.10",
        "AMDocumentVersion": "2",
        "actions": [{"action": action, "isViewVisible": True}],
        "connectors": {},
        "workflowMetaData": {
            "serviceApplicationBundleID": "com.apple.finder",
            "serviceInputTypeIdentifier": "com.apple.Automator.fileSystemObject.image",
            "serviceOutputTypeIdentifier": "com.apple.Automator.nothing",
            "serviceProcessesInput": False,
            "workflowTypeIdentifier": "com.apple.Automator.servicesMenu",
        },
    }
    return {
        inside / "Info.plist": plistlib.dumps({"NSServices": [service]}),
        inside / "document.wflow": plistlib.dumps(workflow),
    }


def _command() -> list[str]:
    """Return the command that opens pictures, without their paths. -P imports nothing from the current folder."""
    return [sys.executable, "-P", "-m", "drrn", "serve", "--idle", IDLE, "--open"]


def _quoted(word: str) -> str:
    """Quote an argument of Exec as in the desktop entry specification."""
    for mark in ("\\", '"', "`", "$"):
        word = word.replace(mark, f"\\{mark}")
    return f'"{word}"'.replace("\\", "\\\\").replace("%", "%%")


def _shell(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


def _data_home() -> Path:
    given = os.environ.get("XDG_DATA_HOME", "")
    return Path(given) if Path(given).is_absolute() else Path.home() / ".local/share"


def _tell_the_desktop() -> None:
    """Make desktops that cache their menu entries read them again."""
    if program := shutil.which("update-desktop-database"):
        subprocess.run([program, _data_home() / "applications"], capture_output=True, check=False)
