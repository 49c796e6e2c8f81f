"""How the commands of this folder end: 0 if done, 2 and one line for bad input, 130 if interrupted."""

import sys
from collections.abc import Callable
from typing import NoReturn

from drrn.errors import DRRNError


def run_and_exit(program: str, command: Callable[[], object]) -> NoReturn:
    """Run a command and exit."""
    try:
        command()
    except DRRNError as error:
        print(f"{program}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)
