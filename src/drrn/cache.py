"""Numbers that are cached between runs, in the user's cache folder. A missing or damaged entry is no error."""

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
"""Seconds after which an entry expires."""


def cache_folder() -> Path:
    """The cache folder of drrn: below $XDG_CACHE_HOME, or where the system keeps caches. It may not exist."""
    root = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    try:
        parent = Path(root) if root else Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    except RuntimeError:  # a user without a home folder
        parent = Path(tempfile.gettempdir())
    return parent / "drrn"


def recall(name: str, key: Mapping[str, Any]) -> float | None:
    """Look up a number in the cache.

    Args:
        name: the kind of number, as a word such as "speed".
        key: everything that the number depends on, as JSON values.

    Returns:
        The number, or None if it was not stored or has expired.
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
    """Store a number in the cache, for the same name and key. Does nothing if the cache can't be written to."""
    path = _path(name, key)
    with suppress(OSError, DRRNError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(value))


def _path(name: str, key: Mapping[str, Any]) -> Path:
    digest = sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return cache_folder() / name / f"{digest[:32]}.json"
