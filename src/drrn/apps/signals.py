"""SIGINT and SIGTERM, for all commands."""

import signal

HANDLED = (signal.SIGINT, signal.SIGTERM)


class SignalHandler:
    """Handles the first signal; a second one ends the process at once."""

    def __init__(self, *, deferred: bool = False):
        """Handle signals from now on.

        Args:
            deferred: only remember the signal, so that a step can be finished and saved. Otherwise raise
                KeyboardInterrupt or SystemExit wherever the program is.
        """
        self.deferred = deferred
        self.received = 0
        """The number of the signal, 0 before there was one."""
        for number in HANDLED:
            signal.signal(number, self._handle)

    @property
    def exit_code(self) -> int:
        return 128 + self.received

    def has_received(self) -> bool:
        return bool(self.received)

    def _handle(self, number: int, _frame: object) -> None:
        self.received = number
        for each in HANDLED:
            signal.signal(each, signal.SIG_DFL)
        if self.deferred:
            return
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(self.exit_code)
