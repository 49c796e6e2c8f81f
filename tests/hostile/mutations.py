"""Mutations of valid files: the same number gives the same mutation on every machine."""

import random
import re
from collections.abc import Callable, Sequence
from typing import Final

from tests.hostile.formats import Format

LARGEST: Final = 1 << 20
"""Most bytes of a mutated file."""
BYTES: Final = (0, 1, 2, 7, 8, 16, 0x20, 0x2C, 0x7F, 0x80, 0xD8, 0xFE, 0xFF)
NUMBERS: Final = ("0", "00", "1", "-1", "2", "255", "256", "65535", "65536", "2147483647", "4294967296", f"{2**64}")
WORDS: Final = (*NUMBERS, "1e999", "-0.0", "1e-320", "NaN", "Infinity", "null", "true", '""', "[]", "{}", "[[", "0x10")
"""Replacements for a number in a text."""


def mutated(form: Format, seeds: Sequence[bytes], number: int, seed: int = 0) -> bytes:
    """Input `number`: one of `seeds` with a few mutations."""
    rng = random.Random(f"{seed} {number}")
    content = bytearray(rng.choice(seeds))
    moves = [*MOVES, *[_field] * 3, *[_word] * (4 if form.is_text else 0)]
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        if content:
            rng.choice(moves)(content, rng, form, seeds)
    del content[LARGEST:]
    return form.repair(bytes(content)) if rng.random() < 0.7 else bytes(content)


def _flip(content: bytearray, rng: random.Random, form: Format, seeds: Sequence[bytes]) -> None:
    content[_place(content, rng)] ^= 1 << rng.randrange(8)


def _set(content: bytearray, rng: random.Random, form: Format, seeds: Sequence[bytes]) -> None:
    at = _place(content, rng)
    for place in range(at, min(at + rng.choice((1, 1, 2, 4)), len(content))):
        content[place] = rng.choice(BYTES) if rng.random() < 0.7 else rng.randrange(256)


def _cut(content: bytearray, rng: random.Random, form: Format, seeds: Sequence[bytes]) -> None:
    del content[rng.randrange(len(content)) :]


def _insert(content: bytearray, rng: random.Random, form: Format, seeds: Sequence[bytes]) -> None:
    at, length = _place(content, rng), rng.choice((1, 2, 4, 16, 300))
    content[at:at] = rng.randbytes(length) if rng.random() < 0.5 else bytes([rng.choice(BYTES)]) * length


def _remove(content: bytearray, rng: random.Random, form: Format, seeds: Sequence[bytes]) -> None:
    at, length = _span(content, rng)
    del content[at : at + length]


def _repeat(content: bytearray, rng: random.Random, form: Format, seeds: Sequence[bytes]) -> None:
    at, length = _span(content, rng)
    content[at:at] = (content[at : at + length] * rng.choice((1, 1, 2, 50, 1000)))[:LARGEST]


def _move(content: bytearray, rng: random.Random, form: Format, seeds: Sequence[bytes]) -> None:
    """Copy bytes over others."""
    at, length = _span(content, rng)
    to = _place(content, rng)
    content[to : to + length] = content[at : at + length]


def _splice(content: bytearray, rng: random.Random, form: Format, seeds: Sequence[bytes]) -> None:
    other = rng.choice(seeds)
    if rng.random() < 0.5:  # a beginning and another end
        content[_place(content, rng) :] = other[rng.randrange(len(other)) :]
    else:
        at, length = _span(other, rng)
        content[_place(content, rng) : 0] = other[at : at + length]


def _field(content: bytearray, rng: random.Random, form: Format, seeds: Sequence[bytes]) -> None:
    """Set a length, count or offset to an extreme value."""
    try:
        fields = [field for field in form.fields(bytes(content)) if field.at + field.size <= len(content)]
    except IndexError:  # cut short already
        fields = []
    if not fields:
        return
    at, size, order = rng.choice(fields)
    top, now = (1 << 8 * size) - 1, int.from_bytes(content[at : at + size], order)
    extremes = (0, 1, 2, 3, 8, top, top - 1, top >> 1, (top >> 1) + 1, top >> 2, 1 << 4 * size, 10_000)
    near = (now + 1, now - 1, now * 2, now // 2, now ^ 1 << rng.randrange(8 * size), at, len(content))
    content[at : at + size] = (rng.choice(extremes + near) & top).to_bytes(size, order)


def _word(content: bytearray, rng: random.Random, form: Format, seeds: Sequence[bytes]) -> None:
    """Replace a number in a text."""
    numbers = list(re.finditer(rb"-?\d+(?:\.\d+)?(?:e-?\d+)?", bytes(content[: 1 << 14])))
    if numbers:
        begin, end = rng.choice(numbers).span()
        content[begin:end] = rng.choice(WORDS).encode() * rng.choice((1, 1, 1, 1, 2000))


MOVES: Final[Sequence[Callable[[bytearray, random.Random, Format, Sequence[bytes]], None]]] = (
    _flip,
    _set,
    _set,
    _cut,
    _insert,
    _remove,
    _repeat,
    _move,
    _splice,
)


def _place(content: bytes | bytearray, rng: random.Random) -> int:
    """A random position, more often near the beginning, where headers are."""
    return min(rng.randrange(len(content)), rng.choice((1 << 30, 256, rng.randrange(1, len(content) + 1))) - 1)


def _span(content: bytes | bytearray, rng: random.Random) -> tuple[int, int]:
    at = _place(content, rng)
    return at, rng.randint(1, min(rng.choice((4, 64, 1024)), len(content) - at))
