"""What all tests share: one torch thread, and the folder of benchmark and training pictures."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# the same examples every time, and no example fails for being slow
settings.register_profile("drrn", deadline=None, derandomize=True, database=None)
settings.load_profile("drrn")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """A suite of small networks runs many times faster on one thread, and to the same bits everywhere."""
    try:
        import torch
    except ModuleNotFoundError:
        return
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder that holds Set5, Set14, BSDS500, T91, matlab_ref and formats."""
    folder = Path(os.environ.get("DRRN_DATA", ROOT / "../shared/data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}; set DRRN_DATA to where the pictures are")
    return folder
