"""Shared by all tests: one torch thread, the engines to test, and the folder of benchmark and training images."""

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import wraps
from pathlib import Path

import pytest
from hypothesis import settings

from drrn.engines import EngineName
from drrn.engines.selection import is_compiled
from drrn.upscaling.upscaler import Upscaler
from drrn.weights import store
from tests.small_weights import small_weights

if is_compiled():
    from drrn.engines.native import kernels_here

# the same examples every time, and no example fails for being slow
settings.register_profile("drrn", deadline=None, derandomize=True, database=None)
settings.load_profile("drrn")

ROOT = Path(__file__).parents[1]
KERNELS = kernels_here() if is_compiled() else []
"""Kernels of the native engine that this CPU supports; empty if drrn was installed without a compiler."""
LONGEST = [
    *("test_page", "test_search", "test_running", "test_killed_trainings", "test_documents", "test_faults"),
    *("test_strips", "test_video", "test_folders", "test_onnx", "test_streaming", "test_ensemble", "test_bombs"),
    *("test_figures", "test_resuming", "test_benchmarks", "test_fuzzing", "test_report", "test_site", "test_ray"),
    *("test_place", "test_fitting", "test_memory", "test_model", "test_kinds", "test_guards", "test_container"),
]
"""Files of tests that take many seconds."""


def pytest_configure() -> None:
    """Give the tests their own cache: the speed of an engine is measured once, and the user's cache is not read."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return  # with the cache of the process that started this one
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("MPLCONFIGDIR", str(home / "matplotlib"))  # contains its list of fonts
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="drrn-tests-")


def pytest_collection() -> None:
    """Collect no garbage while modules are imported: nearly everything stays."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Exclude what was imported from every later collection: each took 0.4 s."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no process ends long after the others."""
    items.sort(key=lambda item: LONGEST.index(name) if (name := item.path.stem) in LONGEST else len(LONGEST))


def pytest_unconfigure() -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        shutil.rmtree(os.environ["XDG_CACHE_HOME"], ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Use one thread: small networks run many times faster, and with the same bits everywhere."""
    try:
        import torch
    except ModuleNotFoundError:
        return
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def same_folder() -> Iterator[None]:
    """A test that leaves the process in another folder fails, and not the one after it."""
    before = Path.cwd()
    yield
    after = Path.cwd()
    os.chdir(before)
    assert after == before


@pytest.fixture(scope="session", autouse=True)
def speed_by_work() -> Iterator[None]:
    """Derive the speed of an engine from its multiply-adds, so that no test depends on the load of the machine."""

    @wraps(Upscaler.measure_speed)
    def speed(upscaler: Upscaler) -> float:
        return 1e10 / upscaler.network.config.macs(upscaler.units)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Upscaler, "measure_speed", speed)
        yield


@pytest.fixture(scope="module", params=KERNELS)
def kernels(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each kind of kernels of the native engine that this CPU supports; the process is limited to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRRN_KERNELS", request.param)
        yield request.param


@pytest.fixture(scope="module", params=["torch", *KERNELS])
def engine(request: pytest.FixtureRequest) -> Iterator[EngineName]:
    """torch, which does not stream, and the native engine with each kind of kernels."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param != "torch":
            patch.setenv("DRRN_KERNELS", request.param)
        yield "torch" if request.param == "torch" else "native"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with Set5, Set14, BSDS500, T91, matlab_ref and formats."""
    folder = Path(os.environ.get("DRRN_DATA", ROOT / "../shared/data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}; set DRRN_DATA to where the pictures are")
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small model, tiny.safetensors, where commands run."""
    monkeypatch.chdir(tmp_path)
    store.save(small_weights(), tmp_path / "tiny.safetensors")
    return tmp_path
