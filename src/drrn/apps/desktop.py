"""`drrn desktop`: entries in the menus of a desktop that open pictures with `drrn serve`."""

import os
import plistlib
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from drrn.errors import DRRNError, printable

TITLE = "Enlarge with drrn"
IDLE = "1h"
"""After which a service that was started from a menu ends, if nobody uses it."""
MIME = (
    *("image/png", "image/jpeg", "image/webp", "image/tiff", "image/bmp", "image/gif", "image/avif"),
    *("image/x-portable-anymap", "image/x-portable-pixmap", "image/x-portable-graymap", "image/x-portable-bitmap"),
)


def install() -> int:
    """Add "Enlarge with drrn" to the menus of this desktop.

    On Linux: Open with, the scripts of GNOME's Files and the menu of KDE's Dolphin. On Windows: Send to. On macOS: a
    Quick Action. Files go into your own folders, and no program that opens pictures now is replaced.
    """
    for path, content in entries().items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            if content.startswith(b"#!") or path.parent.name == "servicemenus":
                path.chmod(0o755)  # KDE takes no menu that is not
        except OSError as error:
            raise DRRNError(f"{printable(path)} can't be written: {error.strerror or error}.") from error
        print(path)
    _tell_the_desktop()
    return 0


def remove() -> int:
    """Take away what `drrn desktop install` has added."""
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


def entries(platform: str = sys.platform) -> dict[Path, bytes]:
    """The files of this desktop, and what is in them."""
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
    """Below %APPDATA%. Not tried."""
    words = " ".join(f'"{each}"' for each in _command())
    return {data / f"Microsoft/Windows/SendTo/{TITLE}.cmd": f'@start "drrn" /min {words} %*\r\n'.encode()}


def macos(home: Path) -> dict[Path, bytes]:
    """Below the user's folder. Not tried."""
    inside = home / f"Library/Services/{TITLE}.workflow/Contents"
    service = {
        "NSMenuItem": {"default": TITLE},
        "NSMessage": "runWorkflowAsService",
        "NSSendFileTypes": ["public.image"],
    }
    shell = {
        "action": {
            "ActionBundlePath": "/System/Library/Automator/Run Shell Script.action",
            "ActionName": "Run Shell Script",
            "ActionParameters": {
                "COMMAND_STRING": f'{" ".join(map(_shell, _command()))} "$@" >/dev/null 2>&1 &',
                "CheckedForUserDefaultShell": True,
                "inputMethod": 1,
                "shell": "/bin/sh",
                "source": "",
            },
            "BundleIdentifier": "com.apple.RunShellScript",
            "Class Name": "RunShellScriptAction",
            "isViewVisible": True,
        }
    }
    workflow = {
        "actions": [shell],
        "connectors": {},
        "workflowMetaData": {
            "serviceInputTypeIdentifier": "com.apple.Automator.fileSystemObject.image",
            "serviceOutputTypeIdentifier": "com.apple.Automator.nothing",
            "workflowTypeIdentifier": "com.apple.Automator.servicesMenu",
        },
    }
    return {
        inside / "Info.plist": plistlib.dumps({"NSServices": [service]}),
        inside / "document.wflow": plistlib.dumps(workflow),
    }


def _command() -> list[str]:
    """What opens pictures; their paths follow."""
    return [sys.executable, "-m", "drrn", "serve", "--idle", IDLE, "--open"]


def _quoted(word: str) -> str:
    """As the desktop entry specification quotes an argument of Exec."""
    for mark in ("\\", '"', "`", "$"):
        word = word.replace(mark, f"\\{mark}")
    return f'"{word}"'.replace("\\", "\\\\").replace("%", "%%")


def _shell(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


def _data_home() -> Path:
    given = os.environ.get("XDG_DATA_HOME", "")
    return Path(given) if Path(given).is_absolute() else Path.home() / ".local/share"


def _tell_the_desktop() -> None:
    """Let a desktop that keeps a list of its entries read it again."""
    if program := shutil.which("update-desktop-database"):
        subprocess.run([program, _data_home() / "applications"], capture_output=True, check=False)
