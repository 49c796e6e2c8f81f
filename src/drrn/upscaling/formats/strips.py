"""Enlarge an image from file to file in strips: memory does not grow with its height, and hardly with its width.

Samples are decoded to the disk. A strip is as high as the image: its ilr streams through the engine in bands, and the
result is collected on the disk, from where it is encoded. `drrn.upscaling.upscaler` divides an image in memory into the
same strips, so the pixels are the same to the bit.
"""

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from typing import Literal, cast

import numpy as np

from drrn.core import flat, gamut
from drrn.core.color import levels
from drrn.core.resize import first_needed, imresize_place, ready, source_of
from drrn.engines.engine import BAND, Planes, StreamingEngine
from drrn.errors import EngineError, ImageError, printable
from drrn.media.buffer import trim
from drrn.media.file_format import FileFormat
from drrn.media.header import Header
from drrn.media.images.files import decode_to_disk, store
from drrn.media.images.formats import EIGHT_BIT, wanted_format, writable
from drrn.media.images.memory import AT_LEAST, encoding
from drrn.media.images.scratch import Rows, Scratch, check_room
from drrn.media.metadata.adapting import resize_metadata
from drrn.upscaling.ahead import ahead
from drrn.upscaling.cost import Estimate, too_little_memory
from drrn.upscaling.formats.job import Hooks, Job
from drrn.upscaling.formats.model_view import ModelView
from drrn.upscaling.planes import MAX_TILE
from drrn.upscaling.tiles import Place, Sides, pieces, tile
from drrn.upscaling.upscaler import Upscaler

Band = tuple[slice, Planes]
"""A range of rows, and their planes (channels, rows, columns)."""


def can_stream(upscaler: Upscaler, header: Header) -> bool:
    """Whether an image can be enlarged in strips: in one pass, by an engine that streams, and without alpha.

    The nearest visible color, which transparent pixels are filled with, can be at any distance.
    """
    return upscaler.engine.streams and not upscaler.ensemble and not header.alpha


def estimate(upscaler: Upscaler, header: Header, width: int, height: int, form: FileFormat) -> Estimate:
    """Predict the cost of enlarging a file with this header to one of this format and size.

    Raises:
        UsageError: it does not fit into the upscaler's memory.
    """
    upscaler = upscaler.for_size((header.width, header.height), (width, height))
    columns = _columns(upscaler, header, width, height, form)
    across, down = upscaler.network_size((header.width, header.height), (width, height))
    halo, strips = 2 * upscaler.network.config.halo, -(-across // columns)
    outer = min(columns + halo, across)
    running = _running(upscaler, header, (width, height), (across, down), outer) + upscaler.engine.memory(down, outer)
    return Estimate(
        width=width,
        height=height,
        seconds=(across + (strips - 1) * halo) * down / upscaler.speed(),
        memory=max(running, *_ends(header, width, height, form)),
        tile=(down, columns),
    )


def enlarge_file(job: Job, upscaler: Upscaler, hooks: Hooks) -> None:
    """Read, enlarge and write the image of a job. See `drrn.upscaling.formats.job.Format.enlarge`."""
    upscaler = upscaler.for_size((job.header.width, job.header.height), (job.width, job.height))
    header, form, target, size = job.header, wanted_format(job.target), job.target, (job.height, job.width)
    columns, bits = _columns(upscaler, header, job.width, job.height, form), _bits(header, form)
    given = header.pixels * header.channels * header.bits // 8
    result = job.width * job.height * header.channels * bits // 8
    check_room(
        target, result + max(given, result)
    )  # the result, and beside it first the decoded source, later the encoded file
    tile = columns * job.width // upscaler.network_size((header.width, header.height), (job.width, job.height))[0]
    with Scratch(target, *size, header.channels, bits, tile=tile) as larger:
        with decode_to_disk(job.source, target, max_pixels=header.decoded) as (
            samples,
            found,
            metadata,
        ):  # a damaged file raises here
            if found != header:
                raise ImageError(f"{printable(job.source)} has changed since it was opened. Run it again.")
            writable(target, job.width, job.height, alpha=False, icc=metadata.icc, overwrite=job.overwrite)
            hooks.start()
            enlarge(upscaler, samples, larger, columns, hooks.progress)
        metadata = resize_metadata(metadata, (header.width, header.height), (job.width, job.height))
        written, check = partial(hooks.written, target), partial(hooks.progress, 1.0)
        store(larger, target, metadata, loss=job.loss(form), overwrite=job.overwrite, written=written, check=check)


def enlarge(
    upscaler: Upscaler, samples: Rows, result: Scratch, columns: int, progress: Callable[[float], None]
) -> None:
    """Fill `result` with `samples`, enlarged to its size.

    Args:
        columns: maximum width of a strip, in pixels of the network's output.
        progress: called with the share that is done; an exception that it raises ends the work.

    Raises:
        EngineError: the network failed.
        DRRNError: the disk is full.
    """
    height, width = size = result.shape[0], result.shape[1]
    view = ModelView(samples, upscaler.network.config.channels)
    top = 255 if result.dtype.itemsize == 1 else 65535
    for place, colors in _colored(upscaler, view, columns, size):
        result.put(levels(colors, top).transpose(1, 2, 0), place[0].start, place[1].start)
        before = place[1].start * height + (place[1].stop - place[1].start) * place[0].stop
        progress(before / (height * width))


def _colored(
    upscaler: Upscaler, view: ModelView, columns: int, size: tuple[int, int]
) -> Iterator[tuple[Place, Planes]]:
    """Yield the colors of all bands of all strips, (1 or 3, h, w) in [0, 1], with their positions.

    Bringing a color into range depends on its neighbors. Therefore each band and strip of the result ends before that
    of sr, and the next one continues from there.
    """
    height, width = size
    left = kept = 0  # number of columns done, and the first one still needed
    edge = np.empty((upscaler.network.config.channels, height, 0), np.float32)  # sr of the columns from `kept` on
    for strip, bands in _sized(upscaler, view, columns, size):
        if view.gray:
            yield from (((rows, strip), view.colored(sr, (rows, strip), size)) for rows, sr in bands)
        else:
            right = gamut.ready(strip.stop, view.size[1], width)
            needed = strip.stop if right == width else gamut.needed(right, view.size[1], width)
            before, edge = edge, np.empty((len(edge), height, strip.stop - needed), np.float32)
            wide = _widened(bands, before, edge)
            yield from _clipped(view, wide, slice(kept, strip.stop), slice(left, right), size)
            left, kept = right, needed
        trim()


def _sized(
    upscaler: Upscaler, view: ModelView, columns: int, size: tuple[int, int]
) -> Iterator[tuple[slice, Iterator[Band]]]:
    """Yield the strips of the network's output, left to right, resized to `size`: their columns and their bands."""
    network_size = size if view.constant is not None else upscaler.network_size(view.size[::-1], size[::-1])[::-1]
    height, width = network_size
    left = kept = 0  # as in `_colored`: in the result, and in the network's output
    edge = np.empty((upscaler.network.config.channels, height, 0), np.float32)
    for strip in pieces(slice(0, height), slice(0, width), (height, columns)):
        bands = ahead(_run(upscaler, view, strip, network_size))
        if network_size == size:
            yield strip[1], ((rows, view.clipped(sr)) for rows, sr in bands)
            continue
        right = ready(strip[1].stop, width, size[1])
        needed = min(first_needed(right, width, size[1]), strip[1].stop)
        before, edge = edge, np.empty((len(edge), height, strip[1].stop - needed), np.float32)
        wide = _widened(bands, before, edge)
        bands = _resized(wide, kept, slice(left, right), network_size, size)
        if right > left:
            yield slice(left, right), ((rows, view.clipped(sr)) for rows, sr in bands)
        else:
            deque(bands, maxlen=0)  # completed, so that `edge` is filled
        left, kept = right, needed


def _resized(
    bands: Iterator[Band], first: int, columns: slice, network_size: tuple[int, int], size: tuple[int, int]
) -> Iterator[Band]:
    """Yield `columns` of the result, from bands of the network's output that begin at column `first`."""
    held: Planes | None = None
    top = done = 0  # the first row in memory, and the number of rows done
    for rows, sr in bands:
        held = sr if held is None else np.concatenate([held, sr], axis=1)
        stop = ready(rows.stop, network_size[0], size[0])
        if stop > done and columns.stop > columns.start:
            place = slice(done, stop), columns
            down, across = source_of(place, network_size, size)
            part = held[:, down.start - top : down.stop - top, across.start - first : across.stop - first]
            yield place[0], imresize_place(part, place, network_size, size)
        done = max(done, stop)
        needed = min(first_needed(done, network_size[0], size[0]), rows.stop)
        held, top = held[:, needed - top :], needed


def _widened(bands: Iterator[Band], before: Planes, edge: Planes) -> Iterator[Band]:
    """Yield each band joined with the columns `before` on its left; its last columns are copied to `edge`."""
    for rows, sr in bands:
        wide = np.concatenate([before[:, rows], sr], axis=2)
        edge[:, rows] = wide[..., wide.shape[2] - edge.shape[2] :]
        yield rows, wide


def _clipped(
    view: ModelView, bands: Iterator[Band], columns: slice, inner: slice, size: tuple[int, int]
) -> Iterator[tuple[Place, Planes]]:
    """Yield the colors of the columns `inner`, from bands of sr that cover more `columns`."""
    high = view.size[0], size[0]
    held = np.empty((3, 0, columns.stop - columns.start), np.float32)
    top = done = 0  # the first row in memory, and the number of rows done
    for rows, sr in bands:
        held = np.concatenate([held, view.colored(sr, (rows, columns), size)], axis=1)
        ready = gamut.ready(rows.stop, *high)
        if ready > done and inner.stop > inner.start:
            place = slice(done, ready), inner
            at = gamut.window(place, view.size, size)
            around = held[:, at.outer[0].start - top : at.outer[0].stop - top]
            around = around[..., at.outer[1].start - columns.start : at.outer[1].stop - columns.start]
            yield place, gamut.clip(around, view.colors(at.source), at)
        done = ready
        if done < size[0]:
            needed = gamut.needed(done, *high)
            held, top = held[:, needed - top :], needed


def _run(upscaler: Upscaler, view: ModelView, strip: Place, size: tuple[int, int]) -> Iterator[Band]:
    """Yield the bands of a strip of the network's output of this size, from top to bottom."""
    (height, width), config = size, upscaler.network.config
    tops = range(0, height, BAND)
    if view.constant is not None:  # nothing to restore; and the network's padding would darken the border
        for top in tops:
            rows = slice(top, min(top + BAND, height))
            shape = len(view.constant), rows.stop - rows.start, strip[1].stop - strip[1].start
            yield rows, np.broadcast_to(view.constant, shape)
        return
    (_, outer), (_, inner) = tile(strip, height, width, config.halo)
    bands = ahead(view.ilr((slice(top, min(top + BAND, height)), outer), size) for top in tops)
    row = 0
    for sr in cast(StreamingEngine, upscaler.engine).stream(bands):
        if not np.isfinite(sr).all():
            raise EngineError("The network computed values that are not finite: the weights or the device are faulty.")
        if sr.shape[1]:
            place = slice(row, row + sr.shape[1]), strip[1]
            kept = np.ascontiguousarray(sr[..., inner])
            if not config.flat:
                around = flat.needed_source(place, view.size, size, upscaler.halo)
                flat.keep_flat(
                    kept, place, view.model_planes(view.colors(around)), around, view.size, size, upscaler.halo
                )
            yield place[0], kept
        row += sr.shape[1]


def _columns(upscaler: Upscaler, header: Header, width: int, height: int, form: FileFormat) -> int:
    """Return the width of a strip. Raises UsageError if decoding or encoding alone exceeds the memory."""
    needed, halo = max(_ends(header, width, height, form)), 2 * upscaler.network.config.halo
    network_size = across, down = upscaler.network_size((header.width, header.height), (width, height))
    if needed > upscaler.max_memory:
        raise too_little_memory(f"{width}x{height} pixels need", needed, upscaler.max_memory)
    beside = _running(upscaler, header, (width, height), network_size, min(MAX_TILE + halo, across))
    return upscaler.tile_sides(down, across, upscaler.max_memory - beside)[1]


def _running(upscaler: Upscaler, header: Header, result: Sides, network_size: Sides, columns: int) -> int:
    """Return the bytes of a strip's bands with their halo, without the engine's own memory."""
    (width, height), channels = result, upscaler.network.config.channels
    colors = 0 if header.channels == 1 else 44
    rows = BAND * header.height // network_size[1] + 4  # source rows under a band
    source = 3 * rows * header.width * header.channels * header.bits // 8
    around = 0
    if header.channels == 3:  # see `_colored`
        down, across = (2 * (gamut.REACH + 1) * -(-m // n) for m, n in ((height, header.height), (width, header.width)))
        wide = min(columns * width // network_size[0], width)  # result rows of a strip
        around = 40 * down * wide + 8 * channels * height * min(across, width - wide)
    if network_size != result:  # see `_sized`
        down, across = (6 * max(1, -(-n // m)) for m, n in zip(result[::-1], network_size[::-1], strict=True))
        around += channels * (24 * (BAND + down) * columns + 8 * network_size[1] * across)
    pixels = prod(network_size)
    # two bands of ilr and of sr wait, and one is prepared beside the work on another: see `ahead`
    bands = BAND * columns * (100 + colors + 28 * (channels - 1)) * max(width * height, pixels) // pixels
    return AT_LEAST + bands + source + around


def _ends(header: Header, width: int, height: int, form: FileFormat) -> tuple[int, int]:
    """Return the bytes for decoding, and the bytes for encoding."""
    return header.decoding, encoding(form, width, height, header.channels, _bits(header, form))


def _bits(header: Header, form: FileFormat) -> Literal[8, 16]:
    return 8 if form in EIGHT_BIT else header.bits
