"""A dashboard with a login, a real ledger, and people and tokens of every role, for the tests of who may what."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.testclient import TestClient

from config.settings import load
from dashboard.access.entrance import Entrance
from dashboard.access.logins import NAME, Logins
from dashboard.app import Application, create
from dashboard.board import Board
from tests.ledger.build import LAB, Place
from transfer.errors import PersonRefused
from transfer.ledger import logins as ledger_logins
from transfer.ledger import tokens

ADDRESS = "http://127.0.0.1:8420"
PASSWORD = "correct horse battery staple"
PEOPLE = {"vera": "viewer", "otto": "operator", "anna": "admin"}
ANYBODY = "newcomer"
CONFIG = """
[alyx]
url = "{alyx}"
user = "transfer_bot"
password = "hunter2 of the program"
[ledger]
url = "{ledger}"
[dashboard]
secret_file = "{root}/secret"
everybody = "nothing"
viewers = ["vera"]
operators = ["otto"]
admins = ["anna"]
{more}
[labs.{lab}]
repository = "{repository}"
root = "{root}/Subjects"
work = "disk"
store = "{store}"
[stores.{store}]
transport = "local"
root = "{root}-store"
"""


class Time:
    """A clock of the dashboard's own, which the ledger's does not follow."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def forward(self, **length: float) -> None:
        self.moment += timedelta(**length)


@dataclass
class House:
    """`asked` are the logins that Alyx was asked for; `answers` what it raises instead of looking."""

    board: Board
    app: Application
    place: Place
    time: Time
    asked: list[str]
    answers: list[Exception]

    @property
    def logins(self) -> Logins:
        found: Entrance = self.app.state.entrance
        return found.logins

    def restarted(self, **changes: Any) -> TestClient:
        """Nobody's browser at another dashboard of the same ledger, with changes of its section."""
        told = self.board.settings.dashboard.model_copy(update=changes)
        app = create(replace(self.board, settings=self.board.settings.model_copy(update={"dashboard": told})))
        self.furnish(app)
        return TestClient(app, base_url=ADDRESS, follow_redirects=False)

    def furnish(self, app: Application) -> None:
        """Let the application have our clock and our Alyx."""
        known: Entrance = app.state.entrance
        logins = Logins(known.logins._key, known.told, clock=self.time)
        app.state.entrance = replace(known, check=self._check, logins=logins)

    def _check(self, name: str, password: str) -> None:
        self.asked.append(name)
        if self.answers:
            raise self.answers.pop(0)
        if password != PASSWORD:
            raise PersonRefused("Alyx did not accept name and password")

    def client(self, **options: Any) -> TestClient:
        """Nobody's browser, which follows no redirect."""
        told: dict[str, Any] = {
            "base_url": ADDRESS,
            "raise_server_exceptions": False,
            "follow_redirects": False,
        } | options
        return TestClient(self.app, **told)

    def person(self, name: str, *, token: bool = True) -> TestClient:
        """The browser of somebody who has logged in; with `token` it also sends the page's own."""
        since = ledger_logins.logged_in(self.place.ledger, name)
        login = self.logins.begin(name, since=since)
        client = self.client()
        client.headers["Cookie"] = f"{NAME}={self.logins.written(login)}"
        if token:
            client.headers["X-CSRF-Token"] = self.logins.csrf_token(login.nonce)
        return client

    def program(self, role: str) -> TestClient:
        """A program with a new token."""
        count = len(tokens.listed(self.place.ledger))
        _, secret = tokens.make(self.place.ledger, f"{role}-{count}", role)
        client = self.client()
        client.headers["Authorization"] = f"Bearer {secret}"
        return client


def write_config(root: Path, ledger: str, *, alyx: str = "http://127.0.0.1:9", more: str = "") -> Path:
    """The config of the house, and its secret."""
    secret = root / "secret"
    if not secret.exists():
        secret.touch(mode=0o600)
        secret.write_text("s" * 40)
    file = root / "config.toml"
    file.touch(mode=0o600)
    said = {"lab": LAB.name, "repository": LAB.repository, "store": LAB.store}
    file.write_text(CONFIG.format(alyx=alyx, ledger=ledger, root=root, more=more, **said))
    return file


@contextmanager
def house(root: Path, *, more: str = "") -> Iterator[House]:
    """Alyx is a function that knows one password."""
    place = Place(f"sqlite:///{root / 'ledger.sqlite'}")
    settings = load(write_config(root, place.url, more=more), {})
    board = Board(settings=settings, ledger=place.ledger, ring=lambda *_, **__: True, version="1")
    made = House(board=board, app=create(board), place=place, time=Time(), asked=[], answers=[])
    made.time.moment = place.ledger.moment()
    made.furnish(made.app)
    try:
        yield made
    finally:
        place.close()


@dataclass(frozen=True)
class Route:
    """One address with one method; `path` can be asked for as it is."""

    method: str
    path: str
    pattern: str
    route: Any

    def __str__(self) -> str:
        return f"{self.method} {self.pattern}"


def routes(app: Application) -> list[Route]:
    """Every address and method there is, with something in the place of each parameter."""
    found = []
    for context in iter_route_contexts(app.routes):
        route: Any = context
        if isinstance(context.original_route, APIRoute):
            path = re.sub(r"\{[^}]*\}", "1", route.path)
            found += [Route(method, path, route.path, route) for method in sorted(route.methods or ())]
    return found
