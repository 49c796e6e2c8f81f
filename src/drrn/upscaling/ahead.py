"""Work side by side on consecutive parts of an image: a part is made while those before it are worked on."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")

AHEAD = 2
"""Number of items that are made before they are asked for."""


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Iterate over `items` in a thread of its own, which runs up to `AHEAD` items ahead.

    An exception of `items` is raised where its item is asked for. Once the iteration has ended or is closed, the thread
    is gone.
    """
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1) as thread:
        try:
            waiting = deque(thread.submit(next, iterator, end) for _ in range(AHEAD))
            while (item := waiting.popleft().result()) is not end:
                waiting.append(thread.submit(next, iterator, end))
                yield item  # type: ignore[misc]
        finally:
            thread.shutdown(cancel_futures=True)
