"""The origin of a result: the commit, the command, the machine and the versions of packages."""

import os
import platform
import re
import shlex
import sys
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


@cache
def commit() -> str:
    """Return the commit that drrn runs from, with `-dirty` if files have changed since; empty outside a checkout.

    Files may change while a process runs: it keeps what it found first.
    """
    import subprocess  # here, as it takes long to import

    source = Path(__file__).parent
    if not (source.parents[1] / ".git").exists():  # installed, possibly inside another project's checkout
        return ""
    describe = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        ended = subprocess.run(describe, cwd=source, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout.strip()


def command(program: str = "drrn") -> str:
    """The command line of this process, quoted for a shell, with `URL` in place of each URL."""
    # a URL may hold a password, and the command is kept with the weights
    arguments = (re.sub(r"\w+(\+\w+)?://.*", "URL", word) for word in sys.argv[1:])
    return shlex.join([*program.split(), *arguments])


def machine() -> dict[str, str]:
    """The processor, its cores and the operating system: `{cpu, cores, system}`."""
    return {"cpu": cpu(), "cores": str(os.cpu_count()), "system": f"{platform.system()} {platform.machine()}"}


def cpu() -> str:
    """The name of the processor."""
    # on Linux, platform.processor() is empty or only names the architecture
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def cpu_flags() -> list[str]:
    """The instruction sets of the processor by Linux's names, such as avx2; none on other systems."""
    return _cpuinfo("flags").split()


def versions(*packages: str) -> dict[str, str]:
    """Return the version of Python, and of each of `packages` that is installed."""
    from importlib.metadata import PackageNotFoundError, version  # here, as it takes long to import

    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _cpuinfo(key: str) -> str:
    """The value of `key` for the first processor; empty where there is none."""
    try:
        found = re.search(rf"^{key}\s*: (.*)$", CPUINFO.read_text(), re.M)
    except OSError:
        return ""
    return found[1].strip() if found else ""
