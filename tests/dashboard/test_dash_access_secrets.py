"""Passwords of people and tokens of programs: planted, used rightly and wrongly, and looked for in all that is said."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from config import logs
from config.sections import Logs
from config.settings import load
from dashboard.access.logins import NAME
from dashboard.board import Board
from dashboard.serving import serving
from sandbox.alyx import SandboxAlyx
from tests.dashboard.entering import write_config
from transfer import secrecy
from transfer.catalog.alyx_login import check_password
from transfer.errors import (
    CatalogBroken,
    CatalogThrottled,
    CatalogUnreachable,
    PersonRefused,
    TransferError,
)
from transfer.ledger import open_ledger, tokens

RIGHT, WRONG = "plant-right-7f/3a+e1 9d", "plant-wrong-5b&0c=77"
PATIENCE = 30.0


def forms(secret: str) -> set[str]:
    return {secret, quote(secret, safe=""), quote(secret), secret.replace("/", "\\/")}


def test_no_password_and_no_token_is_told_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not in an answer, a redirect, a log at debug level or the ledger; without the second line of defence."""
    for module in list(sys.modules.values()):
        if getattr(module, "masked", None) is secrecy.masked:
            monkeypatch.setattr(module, "masked", lambda text: text)
    answers: list[str] = []
    with SandboxAlyx() as alyx:
        for name in ("vera", "anna"):
            alyx.add_user(name, password=RIGHT)
        database = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
        settings = load(write_config(tmp_path, database, alyx=alyx.url), {})
        logs.configure(Logs(level="debug", format="json"))
        ledger = open_ledger(database)
        _, secret = tokens.make(ledger, "cron", "operator")
        board = Board(settings=settings, ledger=ledger, ring=lambda *_, **__: True, version="1")
        with serving(board, "127.0.0.1", 0) as address, httpx2.Client(base_url=address) as client:
            for sent in _requests(alyx, secret):
                answer = client.request(**sent)
                answers += [str(answer.headers), answer.text, str(answer.status_code)]
        _configure_back()
        kept = (tmp_path / "ledger.sqlite").read_bytes() + b"".join(
            file.read_bytes() for file in tmp_path.glob("ledger.sqlite-*")
        )
        ledger.engine.dispose()
    out, err = capfd.readouterr()
    assert '"event": "login_refused"' in err
    assert "303" in answers
    places = {"answers": "\n".join(answers), "log": out + err, "ledger": kept.decode("latin-1")}
    for what, planted in (("right", RIGHT), ("wrong", WRONG), ("token", secret)):
        for where, text in places.items():
            assert not any(form in text for form in forms(planted)), f"the {what} secret is in the {where}"


def _requests(alyx: SandboxAlyx, secret: str) -> list[dict[str, Any]]:
    def login(name: str, password: str, **more: Any) -> dict[str, Any]:
        return {"method": "POST", "url": "/login", "data": {"name": name, "password": password}, **more}

    bearer = {"Authorization": f"Bearer {secret}"}
    alyx.faults.add("POST", "/auth-token", status=500, detail=f"cannot store {RIGHT}")
    return [
        login("vera", RIGHT),  # Alyx fails, and repeats what it was sent
        login("vera", WRONG),
        login(WRONG, WRONG),  # typed into the wrong field
        login("vera", RIGHT, headers={"Origin": "https://evil.example"}),
        login("vera", RIGHT, headers={"Host": "evil.example"}),
        {"method": "POST", "url": "/login", "json": {"name": "vera", "password": RIGHT}},
        login("vera", RIGHT),
        {"method": "GET", "url": "/api/v1/labs", "headers": bearer},
        {"method": "GET", "url": "/api/v1/nothing", "headers": bearer},
        {"method": "POST", "url": "/api/v1/actions/retry", "headers": bearer, "json": {"target": secret}},
        {
            "method": "POST",
            "url": "/api/v1/tokens",
            "headers": bearer,
            "json": {"name": 1, "password": RIGHT},
        },
        {"method": "GET", "url": "/api/v1/labs", "headers": {"Cookie": f"{NAME}={secret}"}},
    ]


def _configure_back() -> None:
    root = logging.getLogger()
    for handler in [one for one in root.handlers if one.name == "alyx-transfer"]:
        root.removeHandler(handler)
    root.setLevel(logging.WARNING)


# ---- what Alyx is asked


def test_alyx_is_asked_once_and_says_who_it_knows() -> None:
    with SandboxAlyx() as alyx:
        alyx.add_user("vera", password=RIGHT)
        check_password(alyx.url, "vera", RIGHT)
        for name, password in (("vera", WRONG), ("nobody", RIGHT), ("Vera", RIGHT)):
            with pytest.raises(PersonRefused):
                check_password(alyx.url, name, password)


@pytest.mark.parametrize(
    ("status", "content_type", "body", "expected"),
    [
        (429, "application/json", "{}", CatalogThrottled),
        (403, "text/html", "<title>proxy</title>", CatalogBroken),
        (301, "text/html", "", CatalogBroken),
        (404, "application/json", "{}", CatalogBroken),
        (500, "application/json", "{}", CatalogBroken),
        (502, "text/html", "", CatalogUnreachable),
        (503, "text/html", "", CatalogUnreachable),
        (200, "text/html", "<html>welcome</html>", CatalogBroken),
        (200, "application/json", "[]", CatalogBroken),
        (200, "application/json", '{"token": null}', CatalogBroken),
        (200, "application/json", '{"token": ""}', CatalogBroken),
    ],
)
def test_only_a_token_is_a_yes_and_no_answer_is_quoted(
    status: int, content_type: str, body: str, expected: type[TransferError]
) -> None:
    """A page of a proxy that says 200 lets nobody in, and a redirect is not followed with the password."""
    asked: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        headers = {"Content-Type": content_type, "Location": "https://evil.example/"}
        return httpx2.Response(status, headers=headers, text=f"{body} ")

    with pytest.raises(expected) as raised:
        check_password("http://alyx.example", "vera", RIGHT, transport=httpx2.MockTransport(answer))
    assert len(asked) == 1
    assert "welcome" not in str(raised.value)


def test_no_connection_is_told_without_what_was_to_be_sent() -> None:
    def fail(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError(f"cannot send {request.content!r}")

    with pytest.raises(CatalogUnreachable) as raised:
        check_password("http://alyx.example", "vera", RIGHT, transport=httpx2.MockTransport(fail))
    assert RIGHT not in str(raised.value)
    assert raised.value.__cause__ is None


# ---- the command

_RUN = "from cli.main import run; run()"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_command_tells_its_address_serves_and_ends_when_told(tmp_path: Path, how: signal.Signals) -> None:
    config = write_config(tmp_path, f"sqlite:///{tmp_path}/ledger.sqlite")
    command = [sys.executable, "-c", _RUN, "-c", str(config), "dashboard", "--port", "0"]
    tree = Path(__file__).parents[2]
    with subprocess.Popen(
        command, cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        try:
            assert process.stdout
            address = process.stdout.readline().split()[2]
            assert httpx2.get(f"{address}/healthz").json()["fine"] is True
            process.send_signal(how)
            _, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "Traceback" not in err


def test_the_command_refuses_to_let_others_in(tmp_path: Path) -> None:
    from cli.main import main

    config = str(write_config(tmp_path, f"sqlite:///{tmp_path}/ledger.sqlite"))
    assert main(["-c", config, "dashboard", "--host", "0.0.0.0", "--port", "0"]) == 3
