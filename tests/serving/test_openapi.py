"""/openapi.json is accurate: valid and invalid requests generated from it get the responses that it describes."""

import shlex
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from PIL import Image as Pillow

from drrn.serving.openapi import openapi
from tests.conftest import ROOT
from tests.serving.conftest import PATIENCE, Running, picture, png

schemathesis = pytest.importorskip("schemathesis")
EXAMPLES = 6
"""Requests per operation."""


def test_exactly_the_routes_of_the_service_are_described(running: Running) -> None:
    described = {(path, method) for path, item in openapi(running.config)["paths"].items() for method in item}
    routes = running.service.routes
    pages = {route.path for route in routes} - {path for path, _ in described}
    assert pages == {
        "/",
        "/style.css",
        "/app.js",
        "/api.js",
        "/compare.js",
        "/options.js",
        "/pictures.js",
        "/rows.js",
        "/text.js",
        "/viewer.js",
        "/en.json",
        "/icon.svg",
    }
    served = {(route.path, method.lower()) for route in routes for method in route.methods or () if method != "HEAD"}
    assert {each for each in served if each[0] not in pages} == described


def operations(running: Running) -> list[Any]:
    schema = schemathesis.openapi.from_dict(openapi(running.config))
    schema.config.update(base_url=running.address)
    return [each.ok() for each in schema.get_all_operations()]


def check(running: Running, count: int, *, broken: bool) -> None:
    """Send requests that follow or violate the description: no response is a 500 or differs from it."""
    mode = schemathesis.GenerationMode
    body = png(Path(running.config.folder).parent, 8, 6)
    called = 0
    for operation in operations(running):
        if operation.path == "/api/events":  # a stream that never ends
            continue
        strategy = operation.as_strategy(generation_mode=mode.NEGATIVE if broken else mode.POSITIVE)

        def one(case: Any) -> None:
            nonlocal called
            called += 1
            if case.body and not broken and called % 2:
                case.body = body
            response = case.call(timeout=PATIENCE)
            case.validate_response(
                response,
                excluded_checks=[
                    # a request that is refused for its picture, not its options, gets 422
                    schemathesis.checks.CHECKS.get_one("positive_data_acceptance"),
                    schemathesis.checks.CHECKS.get_one("negative_data_rejection"),
                ],
            )

        run = settings(
            max_examples=count,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        )
        with suppress(Unsatisfiable):  # there is nothing to violate
            run(given(case=strategy)(one))()
    assert called > 15


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("broken", [False, True], ids=["good", "broken"])
def test_requests_generated_from_the_description_find_no_error(running: Running, broken: bool) -> None:
    check(running, EXAMPLES, broken=broken)


@pytest.mark.full
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("broken", [False, True], ids=["good", "broken"])
def test_many_requests_generated_from_the_description_find_no_error(running: Running, broken: bool) -> None:
    check(running, 150, broken=broken)


def test_the_commands_in_the_reference_work(running: Running, tmp_path: Path) -> None:
    text = (ROOT / "docs/reference/http.md").read_text()
    lines = [line[2:] for line in text.splitlines() if line.startswith("$ curl ")]
    assert len(lines) == 5
    try:
        subprocess.run(["curl", "--version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("there is no curl here")
    picture(30, 20).save(tmp_path / "photo.png")
    for line in lines:
        words = shlex.split(line.replace("http://127.0.0.1:8640", running.address))
        ended = subprocess.run([words[0], "--fail", "-sS", *words[1:]], cwd=tmp_path, capture_output=True, text=True)
        assert ended.returncode == 0, f"{line}\n{ended.stderr}"
    for name, size in (("large.png", (60, 40)), ("part.png", (30, 20))):
        with Pillow.open(tmp_path / name) as image:
            assert image.size == size
    assert (tmp_path / "results.zip").read_bytes()[:2] == b"PK"
