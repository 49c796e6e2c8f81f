"""Against a server of S3 that is not ours, moto's, nothing is lost or doubled, whatever is between it and drrn."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest

pytest.importorskip("obstore", reason="obstore is not installed")
pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[server]'")

from drrn.bulk import bucket
from drrn.bulk.part import read_rows
from drrn.bulk.plan import load_plan
from drrn.bulk.run import parts_left
from drrn.bulk.storage import ExistsError, open_store
from drrn.media.image import Image
from drrn.media.images.files import write
from drrn.upscaling.fingerprint import sha256
from drrn.weights import store
from tests.bulk.faulty_proxy import FaultyProxy, faulty_proxy
from tests.command_line import run as drrn
from tests.small_weights import small_weights

pytestmark = pytest.mark.full


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FaultyProxy]:
    """An empty bucket, s3://bucket, behind a proxy that has no faults yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bucket, "FIRST_PAUSE", 0.01)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server: Any = import_module("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        with faulty_proxy(server.get_host_and_port()[1]) as proxy:
            environment = {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.server_port}",
                "AWS_ALLOW_HTTP": "true",
                "AWS_ACCESS_KEY_ID": "a key",
                "AWS_SECRET_ACCESS_KEY": "a secret",
                "AWS_REGION": "us-east-1",
            }
            for name, value in environment.items():
                monkeypatch.setenv(name, value)
            urlopen(Request(f"{environment['AWS_ENDPOINT_URL']}/bucket", method="PUT")).close()
            yield proxy
    finally:
        server.stop()


def test_nothing_is_lost_or_doubled_though_a_twentieth_of_the_requests_fail(proxy: FaultyProxy, tmp_path: Path) -> None:
    store.save(small_weights(width=4), tmp_path / "tiny.safetensors")
    model = ("-m", "tiny.safetensors", "--threads", "1")
    photos, rng = open_store("s3://bucket/photos"), np.random.default_rng(0)
    for number in range(120):
        path = tmp_path / f"photos/{number % 7}/{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(Image(pixels=rng.random((8, 8, 3), np.float32)), path)
        photos.put(path, path.relative_to(tmp_path / "photos").as_posix(), overwrite=False)
    assert drrn("upscale", "photos", "-r", "-o", "expected", *model) == 0
    expected = {
        path.relative_to(tmp_path / "expected").as_posix(): sha256(path)
        for path in (tmp_path / "expected").rglob("*.png")
    }

    proxy.share = 0.05
    assert drrn("bulk", "plan", "s3://bucket/photos", "s3://bucket/large", *model[:2], "--part-files", "8") == 0
    assert drrn("bulk", "run", "s3://bucket/large", "--threads", "1", "--jobs", "2") == 0
    assert set(proxy.met) == {"busy", "lost", "cut", "slow"}, "each fault was met"
    proxy.share = 0.0

    target = open_store("s3://bucket/large")
    plan = load_plan(target)
    assert parts_left(plan, target) == [] and len(plan.parts) == 15
    rows = [row for part in plan.parts for row in read_rows(target, part) or ()]
    assert {row.target: row.sha256 for row in rows} == expected and len(rows) == len(expected) == 120
    for name in expected:
        target.get(name, tmp_path / "copy")
        assert sha256(tmp_path / "copy") == expected[name]
    assert {entry.name for entry in target.list()} == set(expected), "nothing else is there"
    assert not [entry.name for folder in ("begun", "failed") for entry in target.list(f".drrn/{folder}/")]
    results = [path for path in proxy.created if path.startswith("/bucket/large/")]
    assert sorted(results) == sorted(f"/bucket/large/{name}" for name in expected), "each was made once"
    assert not [path for path in proxy.replaced if "/.drrn/" not in path and path != "/bucket"], (
        "and by a conditional put"
    )


def test_of_many_that_put_one_name_at_once_one_succeeds(proxy: FaultyProxy, tmp_path: Path) -> None:
    contents = [f"of {number}".encode() for number in range(16)]
    for number, content in enumerate(contents):
        (tmp_path / str(number)).write_bytes(content)
    target = open_store("s3://bucket/large")

    def put(number: int) -> bool:
        try:
            target.put(tmp_path / str(number), "a.png", overwrite=False)
        except ExistsError:
            return False
        return True

    with ThreadPoolExecutor(16) as threads:
        succeeded = [number for number, is_written in enumerate(threads.map(put, range(16))) if is_written]
    assert target.read("a.png") == contents[succeeded[0]] and len(succeeded) == len(proxy.created) == 1
    target.put(tmp_path / "3", "a.png", overwrite=True)
    assert target.read("a.png") == contents[3]
