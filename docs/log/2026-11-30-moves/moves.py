"""SHA-256 of results before and after commits that only move code: python moves.py CLONE DATA > sums.csv.

CLONE is a clone or worktree with a virtual environment in .venv; each commit is checked out and installed there. DATA
is the folder of test data. The sums are those of one machine: kernels for other CPUs round differently.
"""

import csv
import os
import shutil
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

import av
import numpy as np

# Each commit with the last of the moves that follow it.
PAIRS = (
    ("72044d7", "61fcce9", "one room for each format of file; no import cycles"),
    ("b33d016", "446d44d", "Picture is Image; provenance, tables and plotting"),
    ("9717a11", "a6f1857", "benchmarks leave the package"),
    ("3637969", "75bd672", "measuring and packing cards leave the package"),
    ("815ce06", "abeb411", "training: one value of inputs, a loop of short steps"),
    ("ab56330", "2b8a921", "formats are values"),
    ("82afb4d", "7bc7713", "study, core and engines split; drrn upscale from its first line"),
    ("359ef9a", "eb1140d", "names in data, network and weights; one Progress; Upscaler split"),
    ("c693b9f", "c2d4cf0", "GeoTIFF's layout; probing a video in four steps"),
    ("bcd7048", "0eb3b3b", "notes are metadata"),
    ("05ef488", "7f39956", "events of progress; six files of media split"),
)
PATHS = (
    *(f"formats/PngSuite/basn{kind}.png" for kind in ("0g01", "0g16", "2c16", "3p04", "4a08", "6a16")),
    *(f"formats/pillow/{name}" for name in ("hopper_orientation_6.jpg", "pil_sample_cmyk.jpg", "16bit.MM.deflate.tif")),
    *(f"formats/pillow/{name}" for name in ("hopper.webp", "transparent.webp", "scribble_P_RGB.bmp")),
    *(f"formats/pillow/{name}" for name in ("hopper_16bit.pgm", "dispose_bgnd_transparency.gif", "iss634.apng")),
    *("formats/medical/MR_small.dcm", "formats/geo/byte.tif", "formats/geo/float_nan.tif"),
)
CASES = ("avif_clap.avif", "ycbcr_444.tif")  # of tests/apps/cases
TRAINING = (
    "--blocks 1 --units 2 --width 8 --batch-size 8 --epoch-steps 25 --epochs 2 --patience 0 --validation-patches 16"
)


def main() -> None:
    clone, data = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    cases = Path(__file__).resolve().parents[3] / "tests/apps/cases"
    video = Path(tempfile.mkdtemp()) / "clip.mkv"
    write_video(video)
    paths = [data / path for path in PATHS] + [cases / name for name in CASES] + [video]
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(("before", "after", "moves", "result", "SHA-256 before", "SHA-256 after", "equal"))
    for before, after, moves in PAIRS:
        old, new = sums(clone, before, data, paths), sums(clone, after, data, paths)
        for name in sorted(old | new):
            here, there = old.get(name, ""), new.get(name, "")
            table.writerow((before, after, moves, name, here, there, "yes" if here == there else "no"))
        sys.stdout.flush()


def sums(clone: Path, commit: str, data: Path, paths: list[Path]) -> dict[str, str]:
    """Return the SHA-256 of each result that drrn computes at a commit."""
    run("git", "checkout", "--quiet", "--detach", commit, cwd=clone)
    run(clone / ".venv/bin/pip", "install", "--quiet", "--no-deps", "--editable", ".", cwd=clone)
    drrn, folder = clone / ".venv/bin/drrn", Path(tempfile.mkdtemp())
    run(drrn, "upscale", *paths, "--output", folder / "enlarged", "--model", "tiny", "--threads", "1")
    run(
        drrn,
        "train",
        "--run",
        folder,
        "--data",
        data / "Set5",
        *TRAINING.split(),
        "--sheet-every",
        "0",
        "--threads",
        "1",
    )
    run(drrn, "export", folder / "tiny_x2.onnx", "--model", "tiny", "--scale", "2")
    results = [*(folder / "enlarged").iterdir(), folder / "last.ckpt", folder / "tiny_x2.onnx"]
    found = {path.name: sha256(path.read_bytes()).hexdigest() for path in results}
    shutil.rmtree(folder)
    return found


def write_video(path: Path) -> None:
    """Write 8 frames of 64 x 48 in which a disk moves over a ramp."""
    row, column = np.mgrid[:48, :64]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(8):
            disk = (row - 24) ** 2 + (column - 8 - 6 * number) ** 2 < 100
            ramp = np.stack([4 * column, 5 * row, 255 - 4 * column], axis=2)
            array = np.where(disk[..., None], (200, 60, 30), ramp).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        container.mux(stream.encode(None))


def run(*command: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}")


main()
