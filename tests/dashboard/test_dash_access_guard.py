"""What stands before the application: our own names, bounded bodies, the headers of every answer, and a quick end."""

import asyncio
import re
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import Request
from fastapi.responses import StreamingResponse
from hypothesis import given
from hypothesis import strategies as st

from config.sections import Dashboard
from config.settings import load
from dashboard import serving as serving_module
from dashboard.access import Seeing, still_in
from dashboard.access.guard import LARGEST
from dashboard.access.headers import POLICY
from dashboard.access.hosts import comes_from_elsewhere, is_our_name
from dashboard.serving import serve, serving
from sandbox.ftp_servers_certificates import Authority
from tests.dashboard.entering import House, house, write_config
from transfer.errors import CannotListen, ConfigProblems

TOLD = Dashboard(host="127.0.0.1", names=["Dash.Example.org"])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("home")) as made:
        yield made


# ---- names


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1:8420", "localhost", "LOCALHOST:1", "[::1]:8420", "127.9.9.9"),
        *("dash.example.org", "DASH.example.org.:443"),
    ],
)
def test_its_own_names_are_answered(host: str) -> None:
    assert is_our_name(host, TOLD)


@pytest.mark.parametrize(
    "host",
    [
        *("", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "evil.example#localhost"),
        *(
            "localhost@evil.example",
            "evil@localhost",
            "localhost/evil",
            "0.0.0.0",
            "127.0.0.1:x",
            "[::1",
            "192.0.2.1",
        ),
    ],
)
def test_no_other_name_is(home: House, host: str) -> None:
    """A foreign page whose name leads to this machine sends its own name."""
    assert not is_our_name(host, TOLD)
    if host:
        answer = home.person("anna").get("/api/v1/labs", headers={"Host": host})
        assert (answer.status_code, answer.json()["code"]) == (421, "E-5006")


@given(st.text(max_size=30))
def test_any_name_is_read_without_a_failure(host: str) -> None:
    assert is_our_name(host, TOLD) in (True, False)


@given(origin=st.text(max_size=30), host=st.sampled_from(["a.example", "a.example:8420"]))
def test_only_the_very_same_place_is_not_elsewhere(origin: str, host: str) -> None:
    headers = {"origin": origin, "host": host}
    assert comes_from_elsewhere(headers, scheme="http", encrypted=False) == (
        origin.lower() != f"http://{host}"
    )


# ---- every answer


def test_every_answer_carries_the_headers_whatever_it_is(home: House) -> None:
    """Pages, calls, refusals, what is not there, static files, what failed."""
    app = home.app

    def broken() -> None:
        raise RuntimeError("broken on purpose")

    app.add_api_route("/broken", broken)
    anna, nobody = home.person("anna"), home.client()
    answers = [
        anna.get("/api/v1/labs"),
        nobody.get("/api/v1/labs"),
        nobody.get("/login"),
        nobody.get("/notices", headers={"Accept": "text/html"}),
        nobody.get("/nowhere"),
        nobody.delete("/login"),
        nobody.get("/static/vendor/sse.js"),
        nobody.get("/static/nothing.js"),
        nobody.get("/static/../app.py"),
        anna.get("/broken"),
        anna.get("/api/v1/labs", headers={"Host": "evil.example"}),
        anna.post("/api/v1/actions/retry", content=b"{", headers={"Content-Type": "application/json"}),
        nobody.get("/healthz"),
    ]
    assert sorted({answer.status_code for answer in answers}) == [200, 303, 401, 404, 405, 421, 422, 500]
    for answer in answers:
        assert_protected(answer)


def assert_protected(answer: Any) -> None:
    headers = answer.headers
    assert headers.get("Content-Security-Policy") == POLICY, answer.url
    assert headers.get_list("X-Content-Type-Options") == ["nosniff"]
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    static = "/static/" in str(answer.url) and answer.status_code < 500
    assert headers.get_list("Cache-Control") == (["no-cache"] if static else ["no-store"])
    assert "Strict-Transport-Security" not in headers
    assert "Server" not in headers


def test_the_policy_lets_nothing_inline_and_nothing_from_elsewhere() -> None:
    assert "unsafe" not in POLICY
    assert "http" not in POLICY
    assert "*" not in POLICY
    assert POLICY.startswith("default-src 'none'; ")
    assert {"frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} <= set(POLICY.split("; "))


def test_over_tls_browsers_are_told_to_stay_there(tmp_path: Path) -> None:
    with house(tmp_path, more='https = true\nnames = ["dash.example.org"]') as made:
        answer = made.client(base_url="http://dash.example.org").get("/login")
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_our_own_pages_have_no_inline_script_and_no_inline_style(home: House) -> None:
    for text in (
        home.client().get("/login").text,
        home.client().post("/login", data={"name": "x", "password": "y"}).text,
        home.client().get("/notices", headers={"Sec-Fetch-Site": "cross-site", "Accept": "text/html"}).text,
    ):
        assert "<html" in text
        assert re.findall(r'<script(?! src="/static/[a-z.]+"></script>)', text) == []
        assert "style=" not in text
        assert not re.search(r"\son\w+=", text)


# ---- bodies


def test_a_large_body_is_refused_whether_or_not_it_says_its_length(home: House) -> None:
    anna = home.person("anna")
    kind, form = {"Content-Type": "application/json"}, {"Content-Type": "application/x-www-form-urlencoded"}

    def endless() -> Iterator[bytes]:
        for _ in range(LARGEST // 1024 + 1):
            yield b" " * 1024

    for body in (b" " * (LARGEST + 1), endless()):
        answer = anna.post("/api/v1/actions/retry", content=body, headers=kind)
        assert (answer.status_code, answer.json()["code"]) == (413, "E-5010")
        assert_protected(answer)
    assert anna.post("/login", content=endless(), headers=form).status_code == 413
    assert anna.post("/api/v1/actions/retry", content=b" " * LARGEST, headers=kind).status_code == 422


# ---- a real server


STOPPED = 1.0  # seconds; a server that waits for its streams takes for ever


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, House]]:
    """The house on a port of its own, with a stream that never ends."""
    with house(tmp_path) as made:
        made.app.add_api_route("/stream", stream)
        monkeypatch.setattr(serving_module, "create", lambda _: made.app)
        with serving(made.board, "127.0.0.1", 0) as address:
            yield address, made


async def stream(person: Seeing) -> StreamingResponse:
    async def events() -> AsyncIterator[str]:
        while True:
            yield f"data: {person.name}\n\n"
            await asyncio.sleep(0.01)

    return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


def test_a_real_server_protects_files_failures_and_streams(served: tuple[str, House]) -> None:
    address, made = served
    cookie = {"Cookie": made.person("vera").headers["Cookie"]}
    with httpx2.Client(base_url=address) as client:
        for path in ("/static/vendor/sse.js", "/nowhere", "/login", "/stream"):
            assert_protected(client.get(path))
        with client.stream("GET", "/stream", headers=cookie) as answer:
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            assert_protected(answer)
            assert next(answer.iter_lines()) == "data: vera"
        assert client.get("/api/v1/labs", headers={**cookie, "Host": "evil.example"}).status_code == 421


def test_a_first_line_or_headers_without_end_are_refused(served: tuple[str, House]) -> None:
    address, _ = served
    host, port = address.removeprefix("http://").split(":")
    for long in (b"GET /" + b"a" * 70_000, b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000):
        with socket.create_connection((host, int(port)), timeout=5) as line:
            line.sendall(long)
            assert line.recv(100).startswith(b"HTTP/1.1 400")


def test_it_ends_at_once_with_streams_open_and_ends_them_as_if_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    with house(tmp_path) as made:
        made.app.add_api_route("/stream", stream)
        monkeypatch.setattr(serving_module, "create", lambda _: made.app)
        cookie = {"Cookie": made.person("vera").headers["Cookie"]}
        first = threading.Barrier(4)

        def listen(address: str) -> None:
            with httpx2.stream("GET", f"{address}/stream", headers=cookie) as answer:
                lines = answer.iter_lines()
                next(lines)
                first.wait()
                for _ in lines:
                    pass
                read.append("over")

        with serving(made.board, "127.0.0.1", 0) as address:
            threads = [threading.Thread(target=listen, args=(address,)) for _ in range(3)]
            for thread in threads:
                thread.start()
            first.wait()
            began = time.monotonic()
        took = time.monotonic() - began
        for thread in threads:
            thread.join()
    assert read == ["over"] * 3
    assert took < STOPPED


def test_a_stream_learns_that_its_login_is_over(home: House) -> None:
    """What lasts for hours asks again."""
    found: list[bool] = []

    def ask(request: Request) -> None:
        found.append(still_in(request))

    home.app.add_api_route("/still", ask)
    vera = home.person("vera")
    vera.get("/still")
    home.client().get("/still")
    vera.post("/logout")
    vera.get("/still")
    assert found == [True, False, False]


def test_a_port_that_is_taken_is_a_sentence(home: House) -> None:
    with (
        serving(home.board, "127.0.0.1", 0) as address,
        pytest.raises(CannotListen, match="another program listens there already"),
    ):
        serve(home.board, "127.0.0.1", int(address.rpartition(":")[2]), tell=lambda _: None)


def test_an_address_that_is_not_ours_is_a_sentence(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dashboard, "unguarded", lambda *_: None)
    with (
        pytest.raises(CannotListen, match="this machine has no such address"),
        serving(home.board, "192.0.2.1", 0),
    ):
        pass


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "lab.example.org"])
@pytest.mark.parametrize("more", ["", 'login = "none"', 'login = "none"\nhttps = true'])
def test_it_does_not_let_others_in_without_login_and_tls(
    home: House, tmp_path: Path, host: str, more: str
) -> None:
    """Neither by the config nor by `--host`."""
    wide = write_config(tmp_path, "sqlite:////x", more=f'{more}\nhost = "{host}"')
    with pytest.raises(ConfigProblems):
        load(wide, {})

    settings = load(write_config(tmp_path, "sqlite:////x", more=more), {})
    with pytest.raises(ConfigProblems), serving(replace(home.board, settings=settings), host, 0):
        pass


def test_the_address_of_the_option_is_answered_beside_that_of_the_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else `--host` would print an address at which every request is refused."""
    real = socket.create_server
    monkeypatch.setattr(socket, "create_server", lambda _, **more: real(("127.0.0.1", 0), **more))
    more = 'https = true\nhost = "192.0.2.6"'
    with house(tmp_path, more=more) as made, serving(made.board, "192.0.2.7", 0) as address:
        found = {
            host: httpx2.get(f"{address}/login", headers={"Host": host}).status_code
            for host in ("192.0.2.6:8420", "192.0.2.7:8420", "192.0.2.8:8420")
        }
    assert found == {"192.0.2.6:8420": 200, "192.0.2.7:8420": 200, "192.0.2.8:8420": 421}


def test_it_speaks_tls_itself_with_a_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    both = authority.certificate("127.0.0.1")
    more = f'certificate_file = "{both}"\nkey_file = "{both}"'
    with house(tmp_path, more=more) as made, serving(made.board, "127.0.0.1", 0) as address:
        trust = ssl.create_default_context(cafile=str(authority.file))
        answer = httpx2.get(f"{address}/login", verify=trust)
        assert address.startswith("https://")
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"a.pem": "none", "b.pem": "none"}, "unencrypted PEM files"),
        ({"b.pem": "none"}, r"certificate_file: .*a\.pem cannot be read \(No such file"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_named(
    tmp_path: Path, written: dict[str, str], says: str
) -> None:
    for name, words in written.items():
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text(words)
    more = f'certificate_file = "{tmp_path}/a.pem"\nkey_file = "{tmp_path}/b.pem"'
    with (
        house(tmp_path, more=more) as made,
        pytest.raises(ConfigProblems, match=says),
        serving(made.board, "127.0.0.1", 0),
    ):
        pass


def test_a_proxy_is_believed_only_where_the_config_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise anybody could choose the address that is counted against guessing."""
    told = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
    for more, expected in (("", ("127.0.0.1", "http")), ("https = true", ("203.0.113.7", "https"))):
        folder = tmp_path / str(len(more))
        folder.mkdir()
        found: list[tuple[str, str]] = []
        with house(folder, more=more) as made:
            made.app.add_api_route("/who", _noting(found))
            monkeypatch.setattr(serving_module, "create", lambda _, app=made.app: app)
            with serving(made.board, "127.0.0.1", 0) as address:
                httpx2.get(f"{address}/who", headers=told)
        assert found == [expected]


def _noting(found: list[tuple[str, str]]) -> Any:
    def note(request: Request) -> None:
        assert request.client
        found.append((request.client.host, request.url.scheme))

    return note
