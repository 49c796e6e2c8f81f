"""Attacks that the guards of the service must stop."""

import logging
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from PIL import Image as Pillow

from drrn.apps import cli
from drrn.errors import UsageError
from drrn.serving.config import ServeConfig
from drrn.serving.guards import is_loopback
from drrn.serving.process import Task, perform
from drrn.serving.recipe import clean_name, parse_crop
from tests.hostile.bombs import BOMBS
from tests.serving.conftest import PATIENCE, Running, png, serving

TOKEN = "correct-horse-battery"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("locked"), token=TOKEN, host_names=("pictures.example",)) as service:
        yield service


def raw(service: Running, request: bytes, *, seconds: float = PATIENCE) -> bytes:
    """The response of the service to raw bytes."""
    with socket.create_connection(("127.0.0.1", service.config.port), timeout=seconds) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(1 << 16):
            answer += piece
    return answer


@pytest.mark.parametrize(
    "host", ["attacker.test", "localhost.attacker.test", "127.0.0.1.attacker.test", "", "127.0.0.2"]
)
def test_a_foreign_host_name_is_refused(running: Running, host: str) -> None:
    for method, path in [("GET", "/"), ("GET", "/api/jobs"), ("POST", "/api/jobs"), ("GET", "/healthz")]:
        answer = running.client.request(method, path, headers={"Host": host})
        assert (answer.status_code, answer.json()["status"]) == (421, 421)


@pytest.mark.slow
def test_the_names_of_this_machine_are_accepted_with_any_port(running: Running, locked: Running) -> None:
    for host in ("localhost", "LOCALHOST:9000", "127.0.0.1:1", "[::1]:8640", "localhost."):
        assert running.client.get("/api/jobs", headers={"Host": host}).status_code == 200
    assert locked.client.get("/healthz", headers={"Host": "pictures.example:443"}).status_code == 200


def test_a_request_without_a_host_is_refused(running: Running) -> None:
    assert b" 421 " in raw(running, b"GET / HTTP/1.0\r\n\r\n").split(b"\r\n")[0]
    two = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: attacker.test\r\nConnection: close\r\n\r\n"
    assert b" 400 " in raw(running, two).split(b"\r\n")[0]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "nonsense"},
        {"Origin": "http://attacker.test"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "file://"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://attacker.test"},
    ],
)
def test_a_page_of_another_origin_can_not_send_requests(
    running: Running, photo: bytes, headers: dict[str, str]
) -> None:
    for method, path in [("POST", "/api/jobs"), ("POST", "/api/upscale"), ("DELETE", "/api/jobs/" + "0" * 64)]:
        assert running.client.request(method, path, content=photo, headers=headers).status_code == 403


def test_the_page_itself_and_programs_can_send_requests(running: Running, photo: bytes) -> None:
    for headers in ({}, {"Origin": running.address, "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
        assert running.client.post("/api/plan", content=photo, headers=headers).status_code == 200


def test_no_response_lets_other_origins_read_it(running: Running) -> None:
    for method in ("GET", "OPTIONS"):
        answer = running.client.request(method, "/api/jobs", headers={"Origin": "http://attacker.test"})
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_every_response_has_the_security_headers(running: Running, photo: bytes) -> None:
    job = running.wait(running.send(photo).json()["id"])
    for path in ("/", "/app.js", "/api/jobs", f"/api/jobs/{job['id']}/result", "/nothing", "/api/jobs?a=1"):
        headers = running.client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in headers
    result = running.client.get(f"/api/jobs/{job['id']}/result").headers
    assert result["content-disposition"].startswith("attachment") and "private" in result["cache-control"]


def test_only_the_page_is_available_without_the_token(locked: Running, photo: bytes) -> None:
    wrong = [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}, {"Cookie": "drrn_1=x"}]
    wrong += [{"Authorization": f"Bearer {TOKEN[:-1]}"}, {"Cookie": f"drrn_{locked.config.port}=wrong"}]
    for headers in wrong:
        for method, path in [
            ("GET", "/api/jobs"),
            ("POST", "/api/upscale"),
            ("GET", "/metrics"),
            ("GET", "/api/events"),
        ]:
            answer = locked.client.request(method, path, headers=headers)
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    for path in ("/", "/app.js", "/healthz", "/readyz", "/openapi.json"):
        assert locked.client.get(path).status_code == 200
    assert locked.stored_files() == []
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert locked.client.post("/api/upscale", content=photo, headers=bearer).status_code == 200
    assert locked.client.get("/api//jobs").status_code == 401


def test_the_token_cookie_is_hidden_from_scripts_and_other_sites(locked: Running) -> None:
    assert locked.client.post("/api/session", headers={"Authorization": "Bearer wrong"}).status_code == 401
    answer = httpx.post(f"{locked.address}/api/session", headers={"Authorization": f"Bearer {TOKEN}"})
    cookie = answer.headers["set-cookie"]
    assert answer.status_code == 204 and "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert httpx.get(f"{locked.address}/api/jobs", cookies=answer.cookies).status_code == 200


def test_tokens_are_compared_in_constant_time(locked: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("drrn.serving.guards.hmac.compare_digest", compare)
    locked.client.get("/api/jobs", headers={"Authorization": "Bearer guess"})
    assert compared == [(b"guess", TOKEN.encode())]


def test_a_public_address_gets_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [is_loopback(each) for each in ("127.0.0.1", "::1", "[::1]", "localhost", "127.1.2.3")] == [True] * 5
    assert [is_loopback(each) for each in ("0.0.0.0", "::", "192.168.1.5", "example.com", "")] == [False] * 5
    tokens: list[str] = []

    def run(config: ServeConfig, listening: socket.socket, **others: object) -> None:
        tokens.append(config.token)
        listening.close()

    monkeypatch.setattr("drrn.serving.server.run", run)
    for host in ("127.0.0.1", "0.0.0.0"):
        with pytest.raises(SystemExit):
            cli.main(["serve", "--host", host, "--port", "0"])
    assert tokens[0] == "" and len(tokens[1]) >= 32


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--port 70000", "--port must be from 0 to 65535, got 70000."),
        ("--prefix drrn", "--prefix must be a path such as /drrn, got 'drrn'."),
        ("--models ../x", "There is no packaged model '../x'."),
        ("--kinds image pdf", "--kinds must be among image, animation, video, raster, dicom, got 'pdf'."),
        ("--open absent.png", "There is no file absent.png."),
        ("--token short", "--token must be 8 to 200 letters, digits and . _ ~ -."),
        ("--host 203.0.113.7 --port 0", "203.0.113.7:0 can't be used: "),
        ("--keep soon", "A time is written 90, 30s, 2m or 1.5h, got 'soon'."),
    ],
)
def test_a_service_that_can_not_start_says_why_in_one_line(
    options: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["serve", *options.split()])
    error = capsys.readouterr().err
    assert ended.value.code == 2 and sentence in error and error.count("\n") == 1


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "drrn.serving.server", raising=False)
    with pytest.raises(SystemExit) as ended:
        cli.main(["serve"])
    assert ended.value.code == 2 and "pip install 'drrn[serve]'" in capsys.readouterr().err


@pytest.mark.slow
def test_an_upload_is_refused_at_the_first_byte_over_the_limit(tmp_path: Path) -> None:
    with serving(tmp_path, max_upload=1000) as service:
        assert service.send(b"x" * 1001).status_code == 413

        def endless() -> Iterator[bytes]:
            for _ in range(10_000):
                yield b"x" * 300

        answer = service.client.post("/api/jobs", content=endless())  # no Content-Length
        assert answer.status_code == 413 and "1,000 bytes" in answer.json()["detail"]
        lying = (
            b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"
            + b"x" * 2000
        )
        assert b" 422 " in raw(service, lying).split(b"\r\n")[0] or b" 400 " in raw(service, lying).split(b"\r\n")[0]
        huge = b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n"
        assert b" 413 " in raw(service, huge).split(b"\r\n")[0]
        assert all(path.stat().st_size <= 1000 for path in service.config.folder.rglob("uploads/*"))
        assert [each for each in service.stored_files() if each.startswith("uploads")] == []


@pytest.mark.slow
def test_a_picture_with_too_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    with serving(tmp_path, max_pixels=5000) as service:
        large = service.send(png(tmp_path, 100, 60), "/api/plan")
        assert large.status_code == 413 and "6,000 pixels" in large.json()["detail"]
        assert service.send(png(tmp_path, 40, 30), "/api/plan", scale=4).status_code == 422
        assert service.send(png(tmp_path, 40, 30), "/api/plan", scale=2).status_code == 200


@pytest.mark.slow
def test_bombs_are_refused_and_the_service_stays_up(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        for name, make in BOMBS.items():
            answer = service.send(make(), name="bomb")
            if answer.status_code == 202:  # its header is valid
                assert service.wait(answer.json()["id"])["state"] == "failed", name
            else:
                assert answer.status_code in (413, 415, 422), f"{name}: {answer.text}"
        jobs = service.service.jobs
        assert (jobs.viewer.starts, jobs.engine.starts) == (1, 1)


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\system.ini", "system.ini"),
        ("a\r\nSet-Cookie: x=y.png", "aSet-Cookie: x=y.png"),
        ("\u202egnp.exe", "gnp.exe"),
        ("..", ""),
        ("x" * 500 + ".png", "x" * 100 + "x" * 96 + ".png"),
        ("\ud800.png", "?.png"),
        ("con/.hidden", "hidden"),
    ],
)
def test_a_client_name_is_never_a_path(name: str, clean: str) -> None:
    assert clean_name(name) == clean


@pytest.mark.parametrize(
    "name",
    ["..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd.png", "a%0D%0ASet-Cookie%3A%20x%3Dy.png", "%00.png", "%22%3B.png"],
)
def test_malicious_names_stay_in_the_folder_and_in_their_header(running: Running, photo: bytes, name: str) -> None:
    answer = running.send(photo, "/api/upscale", name)
    assert answer.status_code == 200 and "set-cookie" not in answer.headers
    shape = {path.split("/")[0] for path in running.stored_files()}
    assert shape <= {"sources", "jobs"}
    files = {path.name.split(".")[0] for path in running.config.folder.rglob("jobs/*/*")}
    assert files <= {"job", "result"}


def test_a_crop_accepts_only_numbers(running: Running, photo: bytes) -> None:
    assert parse_crop("160x120+200+40") == (200, 40, 160, 120)
    for text in ("", "0x1+0+0", "1x1+-1+0", "1e3x1+0+0", "٣x1+0+0", "1x1+0+0; ls", "9999999x1+0+0"):
        with pytest.raises(UsageError, match="A crop is written"):
            parse_crop(text)
    for crop in ("4x4+78+0", "80x61+0+0", "999999x999999+0+0"):
        assert running.send(photo, "/api/preview", crop=crop).status_code == 422


def test_the_log_reveals_nothing_about_pictures(
    running: Running, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    exif = Pillow.Exif()
    exif[0x10E] = "a secret place"
    path = tmp_path / "secret.jpg"
    Pillow.new("RGB", (30, 20), "red").save(path, exif=exif)
    with caplog.at_level(logging.DEBUG):
        running.send(path.read_bytes(), "/api/upscale", "secret.jpg")
        running.send(path.read_bytes()[:200], "/api/upscale", "secret.jpg")
        running.client.get("/api/jobs", params={"secret": "secret"})
    out, err = capfd.readouterr()
    mine = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert "secret" not in out + err + "".join(mine)


def test_the_log_of_a_bug_locates_it_without_its_message(
    running: Running, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise ValueError("secret.jpg shows a secret place")

    tasks: Any = SimpleNamespace(plan=fail)
    kind, sentence = perform(tasks, Task("plan", {}), SimpleNamespace())  # type: ignore[arg-type]
    assert kind == "crashed" and "a bug in drrn" in sentence
    monkeypatch.setattr(running.service.jobs, "describe", fail)
    running.service.jobs.all["0" * 64] = SimpleNamespace()  # type: ignore[assignment]
    try:
        answer = running.client.get("/api/jobs")
    finally:
        del running.service.jobs.all["0" * 64]
    assert answer.status_code == 500 and "secret" not in answer.text + sentence
    lines = [record.getMessage() for record in caplog.records if record.name == "drrn.serving"]
    assert len(lines) == 2 and "ValueError" in lines[0] and "test_guards.py" in lines[0]
    assert "secret" not in "".join(lines)


@pytest.mark.parametrize("way", ["/api/plan", "/api/jobs", "/api/upscale", "/api/preview"])
def test_no_picture_is_ever_fetched_from_a_url(running: Running, way: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.2)
        address = f"http://127.0.0.1:{other.getsockname()[1]}/photo.png"
        for parameters in ({"url": address}, {"source": address}, {"source": "file:///etc/passwd"}):
            answer = running.client.post(
                way, params={"crop": "4x4+0+0"} | parameters if "preview" in way else parameters
            )
            assert answer.status_code == 400, answer.text
        for content in (address.encode(), f"<svg><image href='{address}'/></svg>".encode()):
            crop = {"crop": "4x4+0+0"} if "preview" in way else {}
            assert running.client.post(way, params=crop, content=content).status_code == 422
        with pytest.raises(TimeoutError):
            other.accept()


def test_stored_pictures_are_readable_by_their_owner_only(running: Running, photo: bytes) -> None:
    running.send(photo, "/api/upscale")
    assert running.config.folder.stat().st_mode & 0o777 == 0o700
    with pytest.raises(UsageError, match="Another drrn serve uses"), serving(running.config.folder.parent):
        pass


@pytest.mark.slow
def test_a_client_that_never_finishes_its_request_is_disconnected(
    running: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("drrn.serving.server.ImpatientProtocol.seconds", 2.0)
    slow = [socket.create_connection(("127.0.0.1", running.config.port), timeout=PATIENCE) for _ in range(50)]
    for connection in slow:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-a")
    assert running.client.get("/healthz").status_code == 200
    assert [connection.recv(1) for connection in slow] == [b""] * 50  # closed by the service
    for connection in slow:
        connection.close()
    again = socket.create_connection(("127.0.0.1", running.config.port), timeout=PATIENCE)
    again.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while not answer.endswith(b"ok\n"):
        answer += again.recv(1000)
    assert answer.startswith(b"HTTP/1.1 200")
    again.sendall(b"GET /healthz HTTP/1.1\r\nHost:")  # a second request on the connection, never finished
    assert again.recv(1000) == b""
    again.close()


@pytest.mark.slow
def test_an_upload_that_is_too_slow_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path, stall=0.5) as service:
        head = b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nabc"
        assert b" 408 " in raw(service, head).split(b"\r\n")[0]
        assert service.stored_files() == []
