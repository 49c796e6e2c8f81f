"""How libvips is called: each failure reports its own reason, and forked processes can read."""

import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image

from drrn.errors import ImageError
from drrn.media import libvips
from drrn.media.images.files import read

PIXELS = np.random.default_rng(0).integers(0, 255, (90, 70, 3), dtype=np.uint8)


def encoded(form: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, form, **options)
    return file.getvalue()


def broken_jpeg() -> bytes:
    """A JPEG whose data ends too early, followed by the end marker."""
    whole = encoded("JPEG")
    return whole[: len(whole) // 2] + b"\xff\xd9"


def error_of(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        read(path)
    return str(caught.value)


def test_an_error_does_not_quote_the_error_of_an_earlier_file(tmp_path: Path) -> None:
    jpeg, gif = tmp_path / "a.jpg", tmp_path / "b.gif"
    jpeg.write_bytes(broken_jpeg())
    gif.write_bytes(encoded("GIF")[:900])
    assert "premature end of data segment" in error_of(jpeg)
    assert "Unexpected end of GIF source data" in error_of(gif)


def test_an_error_does_not_quote_a_warning_about_another_file(tmp_path: Path) -> None:
    gif = tmp_path / "b.gif"
    gif.write_bytes(encoded("GIF")[:900])
    source = pyvips.Source.new_from_memory(broken_jpeg())
    pyvips.Image.jpegload_source(source).numpy()  # lenient: its message stays in libvips' list
    assert "Unexpected end of GIF source data" in error_of(gif)


def test_each_thread_gets_the_error_of_its_own_file(tmp_path: Path) -> None:
    kinds = {
        "a.jpg": (broken_jpeg(), "premature end of data segment"),
        "b.gif": (encoded("GIF")[:900], "Unexpected end of GIF source data"),
        "c.jpg": (encoded("JPEG", progressive=True)[:-400], "premature end of JPEG image"),
    }
    for name, (content, _) in kinds.items():
        (tmp_path / name).write_bytes(content)
    with ThreadPoolExecutor(6) as threads:
        names = [*kinds] * 40
        errors = list(threads.map(lambda name: error_of(tmp_path / name), names))
    for name, error in zip(names, errors, strict=True):
        assert name in error and kinds[name][1] in error


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "GIF", "AVIF", "BMP"])
def test_a_forked_process_reads_what_its_parent_reads(form: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(encoded(form))
    assert in_child(path, "print(np.array_equal(read(path).pixels, pixels))") == "True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_reads_sub_byte_samples_like_its_parent(tmp_path: Path) -> None:
    path, cut = tmp_path / "a.png", tmp_path / "b.jpg"
    path.write_bytes(encoded("PNG"))
    cut.write_bytes(encoded("JPEG")[:-400])
    line = f"try: read(Path({str(cut)!r}))\n    except DRRNError as error: print(error)"
    assert "premature end of data segment" in in_child(path, line)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(
    ("form", "call", "what"),
    [("WEBP", "read(path)", "read"), ("PNG", "write(read(path), path.with_suffix('.x.png'))", "written")],
)
def test_a_forked_process_refuses_work_that_needs_the_lost_threads(
    form: str, call: str, what: str, tmp_path: Path
) -> None:
    path = tmp_path / "a"
    path.write_bytes(encoded(form))
    printed = in_child(path, f"try: {call}\n    except DRRNError as error: print(error)")
    assert f"can't be {what} in a process that was forked" in printed and "'spawn'" in printed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_process_forked_before_any_reading_can_do_everything(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    path.write_bytes(encoded("WEBP", lossless=True))
    line = "write(read(path), path.with_suffix('.png')); print(path.with_suffix('.png').stat().st_size > 99)"
    assert in_child(path, line, first="pass") == "True"


def in_child(path: Path, line: str, first: str = "pixels = read(path).pixels") -> str:
    """The output of a forked process whose parent has already read images."""
    program = f"""
import os, signal, sys
from pathlib import Path
import numpy as np
from drrn.errors import DRRNError
from drrn.media.images.files import read, write
path = Path({str(path)!r})
{first}
child = os.fork()
if not child:
    signal.alarm(30)  # instead of waiting forever
    {line}
    sys.stdout.flush()
    os._exit(0)
sys.exit(os.waitpid(child, 0)[1] != 0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert not done.returncode, done.stderr
    return done.stdout.strip()


def test_the_log_of_libvips_is_dropped_by_a_matching_callback() -> None:
    """Also for bytes that are not text."""
    callback = libvips._silence()
    assert pyvips.ffi.typeof(callback) is pyvips.ffi.typeof("GLogFunc")
    callback(b"VIPS", 16, b"\xff", pyvips.ffi.NULL)
