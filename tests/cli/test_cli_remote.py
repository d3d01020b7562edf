"""`--server`: the same commands through a dashboard's API print the same, and a token goes nowhere else."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from cli import failures
from cli.main import main
from cli.remote_line import Line, checked, read_token
from config import logs, wiring
from config.settings import load
from dashboard.board import Board
from dashboard.serving import serving
from tests.cli.installed import Installed
from tests.ledger.build import LAB, SPIKES, VIDEO
from transfer.errors import (
    CATALOGUE,
    ConfigProblems,
    ServerStrange,
    ServerUnreachable,
    ServerUnsafe,
    StoreDenied,
    TransferError,
)
from transfer.ledger import tokens
from transfer.ledger.prioritising import HIGHEST, RAISED
from transfer.status import Status

DENIED = StoreDenied("the store refused to write", to="alf")
SESSION = "KS002/2026-03-04/001"


@dataclass
class Far:
    """An installation whose dashboard runs, and a command line elsewhere, without a config."""

    near: Installed
    address: str
    file: Path
    secret: str

    def run(self, *words: str, server: str | None = None, token: Path | None = None) -> tuple[int, str, str]:
        """As `Installed.run`, through the dashboard."""
        capsys = self.near.capsys
        capsys.readouterr()
        where = ["--server", server or self.address, "--token-file", str(token or self.file)]
        code = main(["--config", "/nowhere/config.toml", *words, *where])
        told = capsys.readouterr()
        assert self.secret not in told.out + told.err
        return code, told.out, told.err

    def token(self, role: str) -> Path:
        """Another token, in a file."""
        _, secret = tokens.make(self.near.place.ledger, f"other-{role}", role)
        return kept(self.near.folder / f"{role}.token", secret)


def kept(file: Path, secret: str) -> Path:
    file.touch(mode=0o600)
    file.write_text(f"{secret}\n")
    return file


@pytest.fixture
def far(installed: Installed) -> Iterator[Far]:
    config = installed.folder / "config.toml"
    key = kept(installed.folder / "secret", "s" * 40)
    with config.open("a") as more:
        more.write(f'[dashboard]\nsecret_file = "{key}"\n')
    settings = load(config, {})
    logs.configure(settings.logs.model_copy(update={"level": "warning"}))  # the dashboard's, in our process
    ledger = wiring.ledger(settings)
    board = Board(settings=settings, ledger=ledger, ring=lambda *_, **__: True, version="1")
    _, secret = tokens.make(installed.place.ledger, "rig", "operator")
    file = kept(installed.folder / "token", secret)
    with serving(board, "127.0.0.1", 0) as address:
        yield Far(installed, address, file, secret)
    ledger.engine.dispose()


def furnish(near: Installed) -> None:
    """Sessions that arrived, with a held file, on its way, not registrable, and failed and then cancelled."""
    near.place.at(Status.RECORDED, "KS001", [SPIKES, VIDEO])
    near.place.hold(near.place.at(Status.SENT, "KS002", [SPIKES, VIDEO]), DENIED)
    near.place.discovered("KS003", unregistrable={"notes.xyz": "Alyx knows no such format."})
    failed = near.place.at(Status.SENT, "KS004")
    near.place.postpone(failed, DENIED, at=near.place.clock.now)
    near.run("cancel", "KS004/2026-03-04/001")


def timeless(words: str) -> str:
    """Without what changes from one second to the next."""
    return re.sub(r'\d+ (s|min)\b|"now": "[^"]*"', "…", words)


# ---- the same

LOOKING = [
    ["status"],
    ["status", "--json"],
    ["status", "--held"],
    ["status", "--limit", "1"],
    ["status", SESSION],
    ["status", SESSION, "--json"],
    ["status", SESSION, "--held"],
    ["status", "--check"],
    ["status", "--check", "--json"],
    ["why", SESSION],
    ["why", f"{SESSION}/{SPIKES}"],
    ["why", f"{SESSION}/{SPIKES}", "--json"],
    ["why", "1"],
    ["why", f"KS004/2026-03-04/001/{SPIKES}", "--json"],
    ["why", "nothing like that"],
    ["why", SPIKES],
    ["held"],
    ["held", "--json"],
    ["held", "--limit", "1"],
    ["bandwidth"],
    ["bandwidth", LAB.name, "--json"],
    ["bandwidth", LAB.repository],
    ["bandwidth", "nowhere"],
]


def test_what_is_looked_at_elsewhere_prints_the_same(far: Far) -> None:
    """Output, complaint and exit code of every command, at zero and with something to show."""
    for words in LOOKING:
        assert told(far.run(*words)) == told(far.near.run(*words)), words
    furnish(far.near)
    far.near.run("bandwidth", LAB.name, "5MB/s", "--why", "a talk")
    for words in LOOKING:
        assert told(far.run(*words)) == told(far.near.run(*words)), words


def told(answer: tuple[int, str, str]) -> tuple[int, str, str]:
    code, out, err = answer
    return code, timeless(out), timeless(err)


def test_what_is_done_elsewhere_prints_the_same_and_names_the_token(far: Far) -> None:
    """One after the other, each there and then once more here, where nothing is left to do."""
    furnish(far.near)
    for words, said in (
        (["release", SESSION, "--why", "w"], "Released: 1 file.\n"),
        (["retry", SESSION, "--why", "w"], None),
        (["prioritise", SESSION, "--level", "7", "--why", "w"], "Level 7: 1 session, 1 batch.\n"),
        (["pause", SESSION, "--why", "w"], None),
        (["resume", SESSION, "--why", "w"], None),
        (["cancel", SESSION, "--why", "w"], None),
        (["release", "--all", "--hold", "cancelled", "--why", "w"], None),
        (
            ["pause", LAB.name, "--why", "w"],
            f"Paused {LAB.name} at its repository {LAB.repository}. "
            f"`alyx-transfer resume {LAB.name}` lets it go on.\n",
        ),
        (["resume", LAB.repository, "--why", "w"], "Resumed: 1 endpoint.\n"),
        (
            ["pause", "alyx", "--why", "w"],
            "Paused alyx. `alyx-transfer resume alyx` lets it go on.\n",
        ),
        (["bandwidth", LAB.name, "5MB/s", "--for", "2h", "--why", "w"], None),
        (["bandwidth", LAB.name, "--clear", "--why", "w"], None),
        (["bandwidth", LAB.name, "--timetable", "5MB/s", "--why", "w"], None),
        (["bandwidth", LAB.name, "--config-timetable", "--why", "w"], None),
    ):
        code, out, err = far.run(*words)
        assert (code, err) == (0, ""), words
        if said is not None:
            assert out == said
    events = far.near.place.events(actor="person:token rig")
    assert {row.why for row in events} == {"w"}
    assert {"released", "retried", "prioritised", "paused", "resumed", "cancelled", "limited"} <= {
        row.what for row in events
    }


def test_nothing_to_do_is_said_the_same(far: Far) -> None:
    far.near.place.at(Status.RECORDED, "KS002")
    for words in (
        ["release", SESSION],
        ["release", "--all"],
        ["resume", LAB.name],
        ["prioritise", SESSION, "--level", "0"],
    ):
        assert far.run(*words) == far.near.run(*words), words


def test_a_list_of_many_pages_is_whole(far: Far) -> None:
    """Longer than any page of the API."""
    names = [f"alf/probe{number:03}.npy" for number in range(450)]
    far.near.place.discovered("KS002", names)

    code, out, _ = far.run("status", SESSION, "--json")
    assert code == 0
    assert [row["relative_path"] for row in json.loads(out)] == names
    assert len(json.loads(far.run("status", SESSION, "--json", "--limit", "201")[1])) == 201


def test_held_files_of_many_pages_are_whole(far: Far) -> None:
    names = [f"alf/probe{number:03}.npy" for number in range(230)]
    far.near.place.discovered("KS002", names)
    far.run("cancel", SESSION, "--why", "x")

    rows = json.loads(far.run("held", "--json")[1])
    assert [row["kind"] for row in rows].count("file") == 230


def test_the_variables_do_as_the_options(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALYX_TRANSFER_SERVER", far.address)
    monkeypatch.setenv("ALYX_TRANSFER_TOKEN", far.secret)
    assert main(["status"]) == 0
    assert far.near.run("scan")[0] == 0, "the variables disturb other commands"


# ---- refused


def test_a_reason_that_the_dashboard_needs_is_asked_for(far: Far) -> None:
    far.near.place.at(Status.SENT, "KS002")
    for words in (["cancel", SESSION], ["bandwidth", LAB.name, "5MB/s"]):
        code, _, err = far.run(*words)
        assert (code, "--why is needed" in err) == (2, True)
    assert far.near.place.item(1).hold is None


def test_a_viewers_token_changes_nothing(far: Far) -> None:
    far.near.place.at(Status.SENT, "KS002")
    code, out, err = far.run("cancel", SESSION, "--why", "x", token=far.token("viewer"))
    assert (code, out) == (failures.Exit.LOGIN, "")
    assert err.startswith("[E-5002]")


def test_a_token_that_is_not_known_is_refused(far: Far) -> None:
    unknown = kept(far.near.folder / "unknown.token", "at_" + "A" * 32)
    code, _, err = far.run("status", token=unknown)
    assert (code, err[:8]) == (failures.Exit.LOGIN, "[E-5001]")


def test_a_token_file_that_others_can_read_is_refused(far: Far) -> None:
    far.file.chmod(0o644)
    code, _, err = far.run("status")
    assert (code, "chmod 600" in err) == (failures.Exit.CONFIG, True)


@pytest.mark.parametrize("content", ["", "two words", "a\nb", "\x7f", "ü"])
def test_what_is_no_token_is_refused(far: Far, content: str) -> None:
    code, _, err = far.run("status", token=kept(far.near.folder / "bad.token", content))
    assert code == failures.Exit.CONFIG
    assert "Traceback" not in err


def test_a_dashboard_that_does_not_run_is_said(far: Far) -> None:
    code, _, err = far.run("status", server="http://127.0.0.1:1")
    assert (code, err[:8]) == (failures.Exit.UNREACHABLE, "[E-5014]")


def test_a_token_file_without_a_server_is_refused(installed: Installed) -> None:
    assert installed.run("status", "--token-file", "x")[0] == failures.Exit.USAGE


def test_all_commands_without_a_dashboard_refuse_the_option(installed: Installed) -> None:
    """Rather than working on this machine when another was meant."""
    for words in (["push", "x"], ["scan"], ["abandon", "x", "--why", "y"]):
        assert installed.run(*words, "--server", "http://127.0.0.1:1")[0] == failures.Exit.USAGE


# ---- the line


@pytest.mark.parametrize(
    "address",
    [
        "",
        "transfer.example.org",
        "ftp://transfer.example.org",
        "http://transfer.example.org",
        "http://192.0.2.7:8420",
        "https://",
        "https://anne:hunter2hunter2@transfer.example.org",
        "https://transfer.example.org/?token=hunter2hunter2",
        "https://transfer.example.org:port",
        "http://[::1",
        "http://127.0.0.1.example.org",
        "http://localhost.example.org",
    ],
)
def test_an_address_that_is_not_safe_is_refused_without_repeating_a_password(address: str) -> None:
    with pytest.raises(ServerUnsafe) as refused:
        checked(address)
    assert "hunter2hunter2" not in str(refused.value)
    assert failures.exit_code(refused.value) == failures.Exit.USAGE


@pytest.mark.parametrize(
    "address",
    ["https://transfer.example.org/", "http://127.0.0.1:8420", "http://localhost:1", "http://[::1]:8420"],
)
def test_https_and_this_machine_are_safe(address: str) -> None:
    assert checked(address) == address.rstrip("/")


def test_no_token_is_none() -> None:
    assert read_token(None, None) is None
    assert read_token(None, "  ") is None


def test_a_bad_token_of_the_environment_is_refused() -> None:
    with pytest.raises(ConfigProblems):
        read_token(None, "a\r\nX-Header: b")


Answer = Callable[[httpx2.Request], httpx2.Response]


def ask(answer: Answer) -> Any:
    """What one question to a server like this comes to."""
    line = Line("https://transfer.example.org", "at_x", transport=httpx2.MockTransport(answer))
    try:
        return line.get("/labs", TypeAdapter(dict[str, int]))
    finally:
        line.close()


PROBLEM = {"Content-Type": "application/problem+json"}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx2.Response(200, text="<html>"), ServerStrange),
        (httpx2.Response(200, json={"a": "x"}), ServerStrange),
        (httpx2.Response(404, text="not here"), ServerStrange),
        (httpx2.Response(500, text="oh"), ServerStrange),
        (httpx2.Response(302, headers={"Location": "https://evil.example"}), ServerStrange),
        (httpx2.Response(502, text="bad gateway"), ServerUnreachable),
        (httpx2.Response(503, text="away"), ServerUnreachable),
        (httpx2.Response(422, text="{", headers=PROBLEM), ServerStrange),
        (httpx2.Response(422, json={"code": "E-9999"}, headers=PROBLEM), ServerStrange),
        (
            httpx2.Response(
                422, json={"code": "E-9999", "what": "a", "to": "b", "remedy": "c"}, headers=PROBLEM
            ),
            ServerStrange,
        ),
    ],
    ids=lambda one: f"{one.status_code}" if isinstance(one, httpx2.Response) else one.__name__,
)
def test_whatever_answers_there_is_a_sentence(answer: httpx2.Response, error: type[TransferError]) -> None:
    """And a redirect is not followed: the token would go with it."""
    seen: list[str] = []

    def server(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.url.host)
        return answer

    with pytest.raises(error):
        ask(server)
    assert seen == ["transfer.example.org"]


@pytest.mark.parametrize("kind", [httpx2.ConnectError, httpx2.ReadTimeout, httpx2.RemoteProtocolError])
def test_a_line_that_breaks_is_a_sentence_without_the_request(kind: type[httpx2.RequestError]) -> None:
    def server(request: httpx2.Request) -> httpx2.Response:
        raise kind("at_x", request=request)

    with pytest.raises(ServerUnreachable) as broken:
        ask(server)
    assert broken.value.__cause__ is None
    assert "at_x" not in str(broken.value)


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_failure_there_is_the_same_failure_here(code: str) -> None:
    """Class, sentence and exit code, for every error that there is."""
    sent = {"code": code, "what": "something broke", "to": "a thing", "remedy": "Mend it.", "problems": ["p"]}
    answer = httpx2.Response(409, json=sent, headers=PROBLEM)

    with pytest.raises(CATALOGUE[code]) as failed:
        ask(lambda _request: answer)

    assert (failed.value.what, failed.value.to, failed.value.do) == ("something broke", "a thing", "Mend it.")
    assert failures.sentence(failed.value)
    assert isinstance(failures.exit_code(failed.value), failures.Exit)


@given(content=st.binary(max_size=60), status=st.sampled_from([200, 201, 401, 409, 418, 500]))
def test_no_answer_is_a_defect_of_ours(content: bytes, status: int) -> None:
    """Always a value or one of our errors."""
    for headers in (PROBLEM, {"Content-Type": "application/json"}):
        answer = httpx2.Response(status, content=content, headers=headers)
        with suppress(TransferError):
            ask(lambda _request: answer)  # noqa: B023


def test_what_is_on_this_machine_is_not_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would read the token."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(httpx2, "Client", lambda **told: made.append(told))

    Line("http://127.0.0.1:8420", None)
    Line("https://transfer.example.org", None)

    assert [one["trust_env"] for one in made] == [False, True]


def test_the_command_knows_the_ledgers_levels(installed: Installed) -> None:
    place = installed.place
    place.at(Status.SENT, "KS002")
    assert installed.run("prioritise", SESSION)[1] == f"Level {RAISED}: 1 session, 1 batch.\n"
    assert installed.run("prioritise", SESSION, "--level", str(HIGHEST))[0] == 0
    assert installed.run("prioritise", SESSION, "--level", str(HIGHEST + 1))[0] == failures.Exit.USAGE
