"""Color information that a file states without an ICC profile: primaries, transfer function, HDR light levels.

It is kept as PNG chunks, since PNG is the only format written here that can hold it. The values of an AVIF are
converted to such chunks.
"""

import struct
from typing import Final

Chunk = tuple[bytes, bytes]
"""Name and body of a PNG chunk."""

SIZES: Final = {
    **{b"cICP": (4,), b"sRGB": (1,), b"gAMA": (4,), b"cHRM": (32,), b"bKGD": (2, 6)},
    **{
        b"mDCV": (24,),
        b"cLLI": (8,),
        b"mDCv": (24,),
        b"cLLi": (8,),
    },  # both spellings: the names changed when they were standardized
}
"""Valid lengths of each chunk's body, in bytes."""
OTHERS: Final = (b"bKGD", b"mDCV", b"cLLI", b"mDCv", b"cLLi")
"""Chunks that apply even if there is an ICC profile."""
PRIMARIES: Final = {1: "BT.709", 9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
TRANSFERS: Final = {1: "BT.709", 8: "linear", 13: "sRGB", 14: "BT.2020", 15: "BT.2020", 16: "PQ", 18: "HLG"}
UNSPECIFIED: Final = 2
SRGB: Final = (1, 13)
"""Primaries and transfer function of sRGB."""
SRGB_GAMMA: Final = 45455
SRGB_POINTS: Final = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
"""The white, red, green and blue points of sRGB, as a cHRM chunk stores them."""
TOLERANCE: Final = 100
"""Tolerance for gamma and for chromaticities: 0.001."""


def from_png(chunks: list[Chunk]) -> tuple[Chunk, ...]:
    """Return the color chunks of a PNG that have a valid length, each at most once."""
    found = {name: body for name, body in reversed(chunks) if len(body) in SIZES.get(name, ())}
    return tuple((name, found[name]) for name in SIZES if name in found)


def from_nclx(primaries: int, transfer: int, mastering: bytes = b"", light: bytes = b"") -> tuple[Chunk, ...]:
    """Convert the color information of an AVIF, decoded to full-range RGB, to PNG chunks; empty for sRGB.

    Args:
        primaries, transfer: codes of ITU-T H.273.
        mastering, light: bodies of the boxes mdcv and clli.
    """
    primaries, transfer = (
        standard if value == UNSPECIFIED else value for value, standard in zip((primaries, transfer), SRGB, strict=True)
    )
    chunks = [] if (primaries, transfer) == SRGB else [(b"cICP", bytes([primaries, transfer, 0, 1]))]
    if len(mastering) == 24:  # stored as green, blue, red; a PNG begins with red
        chunks.append((b"mDCV", mastering[8:12] + mastering[:8] + mastering[12:]))
    if len(light) == 4:  # in cd/m2; a PNG counts in units of 0.0001 cd/m2
        chunks.append((b"cLLI", struct.pack(">LL", *(10000 * value for value in struct.unpack(">HH", light)))))
    return tuple(chunks)


def names(tags: tuple[Chunk, ...], *, has_profile: bool) -> tuple[str, ...]:
    """Describe the tags without which the image would look different, as `cICP (BT.2020, PQ)`.

    Args:
        has_profile: whether there is an ICC profile. Of the tags, only cICP takes precedence over it.
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
