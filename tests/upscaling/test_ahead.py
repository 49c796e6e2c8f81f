"""Parts of an image that are made beside the work on those before them."""

import threading
from collections.abc import Iterator

import pytest

from drrn.upscaling.ahead import AHEAD, ahead


def numbers(produced: list[int], end: int) -> Iterator[int]:
    for number in range(end):
        produced.append(number)
        yield number


def test_items_come_in_order_and_no_more_than_a_few_are_made_ahead() -> None:
    produced: list[int] = []
    for index, number in enumerate(ahead(numbers(produced, 20))):
        assert number == index and len(produced) <= index + 1 + AHEAD
    assert produced == list(range(20)) and list(ahead([])) == []


def test_the_next_item_is_made_while_the_caller_has_one() -> None:
    other_made = threading.Event()

    def items() -> Iterator[int]:
        yield 0
        other_made.set()
        yield 1

    for _ in ahead(items()):
        assert other_made.wait(60)


def test_an_error_is_raised_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise ValueError("no more")

    found = ahead(items())
    assert next(found) == 0
    with pytest.raises(ValueError, match="no more"):
        next(found)


def test_no_thread_is_left_by_a_caller_who_stops_early() -> None:
    before, produced = threading.active_count(), list[int]()
    items = ahead(numbers(produced, 1000))
    assert next(items) == 0 and threading.active_count() == before + 1
    items.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before and len(produced) <= 1 + AHEAD
