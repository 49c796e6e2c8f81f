"""HDR metadata: from FFmpeg's structures to the options of encoders."""

import struct
from fractions import Fraction

from drrn.media import CodecName
from drrn.media.header import HDRMetadata


def read_hdr(side_data: dict[str, bytes]) -> HDRMetadata:
    """Read FFmpeg's AVMasteringDisplayMetadata and AVContentLightMetadata from the side data of a frame."""
    found = HDRMetadata()
    if raw := side_data.get("MASTERING_DISPLAY_METADATA"):
        *numbers, has_primaries, has_luminance = struct.unpack("<22i", raw[:88])
        values = [Fraction(a, b) if b else Fraction(0) for a, b in zip(numbers[::2], numbers[1::2], strict=True)]
        if has_primaries and has_luminance:
            pairs = tuple(zip(values[:8:2], values[1:8:2], strict=True))
            found = HDRMetadata(pairs, (values[8], values[9]))
    if raw := side_data.get("CONTENT_LIGHT_LEVEL"):
        most, average = struct.unpack("<2I", raw[:8])
        found = found._replace(brightest=(most, average))
    return found


def encoder_options(hdr: HDRMetadata, codec: CodecName) -> list[str]:
    """Format HDR metadata as options of an encoder."""
    options = []
    whole = codec != "av1"
    if hdr.primaries:
        point, candela = (50000, 10000) if whole else (1, 1)

        def number(value: Fraction, unit: int) -> str:
            return str(round(value * unit)) if whole else f"{float(value):.5f}"

        red, green, blue, white = (f"({number(x, point)},{number(y, point)})" for x, y in hdr.primaries)
        least, most = (number(value, candela) for value in hdr.luminance)
        key = "mastering-display" if codec != "hevc" else "master-display"
        options.append(f"{key}=G{green}B{blue}R{red}WP{white}L({most},{least})")
    if any(hdr.brightest):
        key = {"h264": "cll", "hevc": "max-cll", "av1": "content-light"}[codec]
        options.append(f"{key}={hdr.brightest[0]},{hdr.brightest[1]}")
    return options
