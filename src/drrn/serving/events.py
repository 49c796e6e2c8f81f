"""Server-sent events: all that happens to jobs, in one stream."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

HISTORY: Final = 500
"""Events that a client which lost its connection can still be told."""
QUIET_SECONDS: Final = 15.0
"""After which a comment is sent, so that nobody between closes the connection."""


class Events:
    """What happened, and who listens."""

    def __init__(self) -> None:
        self.last = 0
        self._history: deque[tuple[int, str]] = deque(maxlen=HISTORY)
        self._changed = asyncio.Condition()
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, kind: str, about: dict[str, Any]) -> None:
        self.last += 1
        text = f"id: {self.last}\nevent: {kind}\ndata: {json.dumps(about)}\n\n"
        self._history.append((self.last, text))
        self._wake()

    def close(self) -> None:
        """End all streams, once they have told all."""
        self._closed = True
        self._wake()

    async def stream(self, after: int | None) -> AsyncIterator[str]:
        """Events as text, those after `after` first, where they are still known. Ends when `close` is called."""
        seen = self.last if after is None or after > self.last else after
        yield "retry: 2000\n: the events of all jobs\n\n"
        while True:
            is_closed = self._closed
            for number, text in list(self._history):
                if number > seen:
                    seen = number
                    yield text
            if is_closed:
                return
            async with self._changed:
                if seen < self.last or self._closed:
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
