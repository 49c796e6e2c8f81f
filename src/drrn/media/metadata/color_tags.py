"""What a file says of its colors in numbers instead of an ICC profile: primaries, transfer and light.

They are kept as the chunks of a PNG, which alone of what is written here holds them. So an AVIF's become these.
"""

import struct
from typing import Final

Chunk = tuple[bytes, bytes]
"""Name and body of a chunk of a PNG."""

SIZES: Final = {
    **{b"cICP": (4,), b"sRGB": (1,), b"gAMA": (4,), b"cHRM": (32,), b"bKGD": (2, 6)},
    **{
        b"mDCV": (24,),
        b"cLLI": (8,),
        b"mDCv": (24,),
        b"cLLi": (8,),
    },  # twice, for names were others before the standard
}
"""Bytes that each may have."""
OTHERS: Final = (b"bKGD", b"mDCV", b"cLLI", b"mDCv", b"cLLi")
"""Those that count beside an ICC profile, too."""
PRIMARIES: Final = {1: "BT.709", 9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
TRANSFERS: Final = {1: "BT.709", 8: "linear", 13: "sRGB", 14: "BT.2020", 15: "BT.2020", 16: "PQ", 18: "HLG"}
UNSPECIFIED: Final = 2
SRGB: Final = (1, 13)
"""Its primaries and its transfer."""
SRGB_GAMMA: Final = 45455
SRGB_POINTS: Final = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
"""White, red, green and blue in a chunk cHRM."""
TOLERANCE: Final = 100
"""Of both: 0.001."""


def from_png(chunks: list[Chunk]) -> tuple[Chunk, ...]:
    """Those of a PNG that have the right length, each once."""
    found = {name: body for name, body in reversed(chunks) if len(body) in SIZES.get(name, ())}
    return tuple((name, found[name]) for name in SIZES if name in found)


def from_nclx(primaries: int, transfer: int, mastering: bytes = b"", light: bytes = b"") -> tuple[Chunk, ...]:
    """Those of an AVIF, decoded to RGB of the full range; none where that is sRGB, as an image without them.

    Args:
        primaries, transfer: as ITU-T H.273 numbers them.
        mastering, light: bodies of its boxes mdcv and clli.
    """
    primaries, transfer = (
        standard if value == UNSPECIFIED else value for value, standard in zip((primaries, transfer), SRGB, strict=True)
    )
    chunks = [] if (primaries, transfer) == SRGB else [(b"cICP", bytes([primaries, transfer, 0, 1]))]
    if len(mastering) == 24:  # green, blue, red; a PNG begins with red
        chunks.append((b"mDCV", mastering[8:12] + mastering[:8] + mastering[12:]))
    if len(light) == 4:  # cd/m2; in a PNG ten thousandths of it
        chunks.append((b"cLLI", struct.pack(">LL", *(10000 * value for value in struct.unpack(">HH", light)))))
    return tuple(chunks)


def names(tags: tuple[Chunk, ...], *, has_profile: bool) -> tuple[str, ...]:
    """Those without which the image would look different, as `cICP (BT.2020, PQ)`.

    Args:
        has_profile: whether there is an ICC profile, before which only cICP counts.
    """
    found = dict(tags)
    told = []
    if code := found.get(b"cICP"):
        if tuple(code[:2]) != SRGB:
            parts = PRIMARIES.get(code[0], f"primaries {code[0]}"), TRANSFERS.get(code[1], f"transfer {code[1]}")
            told.append(f"cICP ({', '.join(parts)})")
    elif not has_profile and b"sRGB" not in found:
        gamma, points = found.get(b"gAMA"), found.get(b"cHRM")
        if gamma and abs(int.from_bytes(gamma) - SRGB_GAMMA) > TOLERANCE:
            told.append(f"gAMA ({int.from_bytes(gamma) / 100000:g})")
        if points and any(
            abs(a - b) > TOLERANCE for a, b in zip(struct.unpack(">8L", points), SRGB_POINTS, strict=True)
        ):
            told.append("cHRM")
    return (*told, *(name.decode() for name, _ in tags if name in OTHERS))
