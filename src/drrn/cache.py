"""Values remembered between runs, in the user's cache folder. Entries may vanish or be damaged at any time."""

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from drrn.atomic import write_text
from drrn.errors import DRRNError

MAX_AGE = 24 * 3600.0
"""Seconds after which a value counts as unknown."""


def cache_folder() -> Path:
    """Return drrn's cache folder: below $XDG_CACHE_HOME, or where the system keeps caches. It may not exist."""
    root = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    try:
        parent = Path(root) if root else Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    except RuntimeError:  # a user without a home folder
        parent = Path(tempfile.gettempdir())
    return parent / "drrn"


def recall(name: str, key: Mapping[str, Any]) -> float | None:
    """Return the number remembered as `name` for `key` less than `MAX_AGE` ago; None if there is none.

    Args:
        name: a word.
        key: everything the number depends on, as JSON.
    """
    path = _path(name, key)
    try:
        if not 0 <= time.time() - path.stat().st_mtime < MAX_AGE:
            return None
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if type(value) is float else None


def remember(name: str, key: Mapping[str, Any], value: float) -> None:
    """Remember `value` for later runs. Does nothing if the cache can't be written."""
    path = _path(name, key)
    with suppress(OSError, DRRNError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(value))


def _path(name: str, key: Mapping[str, Any]) -> Path:
    digest = sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return cache_folder() / name / f"{digest[:32]}.json"
