"""What all commands print with while they work: lines on stderr, and on a terminal progress bars below them."""

from typing import Self

from rich.console import Console
from rich.progress import Progress, ProgressColumn


class Printer:
    """Prints lines above progress bars. Subclasses turn the progress of one command into lines and bars."""

    def __init__(self, *columns: ProgressColumn, quiet: bool = False, transient: bool = False):
        """Print nothing yet.

        Args:
            columns: of the bars.
            quiet: show no bars on a terminal either.
            transient: remove the bars at the end.
        """
        # a path may have brackets, which are no markup
        self.console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
        has_bars = self.console.is_terminal and not quiet
        self.bars = Progress(*columns, console=self.console, disable=not has_bars, transient=transient)

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def note(self, sentence: str) -> None:
        """Print a line that stays."""
        self.console.print(sentence)
