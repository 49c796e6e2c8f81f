"""Server-sent events: everything that happens to jobs, in one stream."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

HISTORY: Final = 500
"""Events that are kept for clients that reconnect."""
QUIET_SECONDS: Final = 15.0
"""Seconds without an event after which a comment is sent, so that no proxy closes the connection."""


class Events:
    """The latest events, and the streams that send them to clients."""

    def __init__(self) -> None:
        self.last = 0
        """Number of the latest event."""
        self._history: deque[tuple[int, str]] = deque(maxlen=HISTORY)
        self._changed = asyncio.Condition()
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, kind: str, about: dict[str, Any]) -> None:
        """Send an event to all streams.

        Args:
            kind: its type, such as progress.
            about: its data, as JSON values.
        """
        self.last += 1
        text = f"id: {self.last}\nevent: {kind}\ndata: {json.dumps(about)}\n\n"
        self._history.append((self.last, text))
        self._wake()

    def close(self) -> None:
        """End all streams, after they have sent all events."""
        self._closed = True
        self._wake()

    async def stream(self, after: int | None) -> AsyncIterator[str]:
        """Yield events as text until `close` is called.

        Args:
            after: number of the last event that the client knows; later ones are sent first, if they are still kept.
                None for new events only.
        """
        sent = self.last if after is None or after > self.last else after
        yield "retry: 2000\n: the events of all jobs\n\n"
        while True:
            is_closed = self._closed
            for number, text in list(self._history):
                if number > sent:
                    sent = number
                    yield text
            if is_closed:
                return
            async with self._changed:
                if sent < self.last or self._closed:
                    continue
                try:
                    await asyncio.wait_for(self._changed.wait(), QUIET_SECONDS)
                    continue
                except TimeoutError:
                    pass
            yield ": still here\n\n"

    def _wake(self) -> None:
        async def wake() -> None:
            async with self._changed:
                self._changed.notify_all()

        task = asyncio.get_running_loop().create_task(wake())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
