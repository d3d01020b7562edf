"""Tokens for programs: made once, known by a hash only, and worth nothing once they are over."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.main import main
from tests.dashboard.entering import House, house, write_config
from transfer.errors import ActionUnfitting, NothingFound
from transfer.ledger import Ledger, tables, tokens

WHO = "/api/v1/labs"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as made:
        yield made


def made(ledger: Ledger, name: str = "rig-monitor", role: str = "viewer", **more: Any) -> str:
    return tokens.make(ledger, name, role, **more)[1]


# ---- at rest


def test_a_token_is_random_and_only_its_hash_is_kept(home: House) -> None:
    first, second = made(home.place.ledger, "a"), made(home.place.ledger, "b")

    assert re.fullmatch(r"at_[A-Za-z0-9_-]{32}", first)
    assert first != second
    with home.place.ledger.reading() as connection:
        kept = str(connection.execute(tables.tokens.select()).all())
    assert first not in kept
    assert first.removeprefix("at_") not in kept


def test_a_token_is_known_until_it_ends_or_is_revoked(home: House) -> None:
    ledger, clock = home.place.ledger, home.place.clock
    short, revoked = made(ledger, "short", lasting=timedelta(days=1)), made(ledger, "revoked")
    assert tokens.recognise(ledger, short)
    assert tokens.recognise(ledger, revoked)

    clock.forward(hours=23.9)
    assert tokens.recognise(ledger, short)
    clock.forward(hours=0.1)
    assert tokens.recognise(ledger, short) is None

    tokens.revoke(ledger, "revoked")
    assert tokens.recognise(ledger, revoked) is None


def test_its_use_is_written_down_once_a_minute_at_most(home: House) -> None:
    ledger, clock = home.place.ledger, home.place.clock
    secret = made(ledger)
    used = []
    for _ in range(4):
        tokens.recognise(ledger, secret)
        used.append(tokens.listed(ledger)[0].used_at)
        clock.forward(seconds=40)
    assert used[0] == used[1]
    assert used[1] != used[2]
    assert used[2] == used[3]


@given(st.text(max_size=60) | st.text("at_AZ09-", min_size=34, max_size=36))
def test_no_other_text_is_a_token(words: str) -> None:
    assert tokens.recognise(NOTHING, words) is None


class _Nothing:
    """A ledger without tokens: only what has the shape of one is asked for."""

    def reading(self) -> Any:
        raise LookupError


NOTHING: Any = _Nothing()


def test_a_name_is_taken_while_its_token_holds(home: House) -> None:
    ledger = home.place.ledger
    first = made(ledger)
    with pytest.raises(ActionUnfitting, match="a token of this name exists"):
        made(ledger)
    tokens.revoke(ledger, "rig-monitor")
    second = made(ledger)

    assert tokens.revoke(ledger, "rig-monitor").id == tokens.listed(ledger)[0].id
    assert tokens.recognise(ledger, first) is None
    assert tokens.recognise(ledger, second) is None


def test_revoking_a_name_leaves_no_token_of_that_name(home: House) -> None:
    """Two that were made at the same moment, by two programs, can have one name."""
    ledger = home.place.ledger
    secrets = made(ledger, "twin"), made(ledger, "twin-brother")
    with ledger.writing() as connection:
        change = tables.tokens.update().where(tables.tokens.c.name == "twin-brother")
        connection.execute(change.values(name="twin"))
    tokens.revoke(ledger, "twin")
    assert [tokens.recognise(ledger, secret) for secret in secrets] == [None, None]


@pytest.mark.parametrize("name", ["", "12", "a b", "x" * 101, "a\x00", "a\n", "person:anna", "a/b"])
def test_a_name_that_could_be_taken_for_something_else_is_refused(home: House, name: str) -> None:
    with pytest.raises(ActionUnfitting):
        made(home.place.ledger, name)
    with pytest.raises(ActionUnfitting):
        made(home.place.ledger, "fine", "owner")


def test_revoking_what_is_not_there_is_told(home: House) -> None:
    for which in ("nobody", 99):
        with pytest.raises(NothingFound):
            tokens.revoke(home.place.ledger, which)


# ---- through the API


def test_an_admin_makes_a_token_that_works_until_it_is_revoked(home: House) -> None:
    admin, program = home.person("anna"), home.client()
    answer = admin.post("/api/v1/tokens", json={"name": "cron", "role": "operator", "days": 30}).json()
    program.headers["Authorization"] = f"Bearer {answer['secret']}"

    assert program.get(WHO).status_code == 200
    assert program.post("/api/v1/actions/release-all", json={}).status_code == 200
    assert program.get("/api/v1/tokens").status_code == 403
    listed = admin.get("/api/v1/tokens")
    assert [row["name"] for row in listed.json()["rows"]] == ["cron"]
    assert answer["secret"] not in listed.text
    assert "digest" not in listed.text

    assert admin.post(f"/api/v1/tokens/{answer['token']['id']}/revoke").status_code == 200
    assert program.get(WHO).status_code == 401


def test_what_a_program_did_is_in_the_audit_log_under_its_tokens_name(home: House) -> None:
    program = home.program("operator")
    program.post("/api/v1/actions/pause", json={"target": "endpoint:alyx", "why": "moving"})

    told = [(row.actor, row.what) for row in home.place.events() if row.subject == "endpoint"]
    assert told == [("person:token operator-0", "paused")]


def test_a_token_in_an_address_or_a_cookie_lets_nobody_in(home: House) -> None:
    secret = made(home.place.ledger)
    client = home.client()
    for asked in (
        client.get(f"{WHO}?token={secret}"),
        client.get(WHO, headers={"Cookie": f"alyx_transfer={secret}"}),
        client.get(WHO, headers={"Authorization": f"Basic {secret}"}),
        client.get(WHO, headers={"Authorization": secret}),
        client.get(WHO, headers={"X-Token": secret}),
    ):
        assert asked.status_code == 401


# ---- on the command line


def test_the_command_prints_a_token_once_and_lists_and_revokes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(write_config(tmp_path, f"sqlite:///{tmp_path}/ledger.sqlite"))

    assert main(["-c", config, "token", "new", "cron", "--role", "operator", "--days", "7"]) == 0
    secret, told = capsys.readouterr()
    assert re.fullmatch(r"at_[A-Za-z0-9_-]{32}\n", secret)
    assert secret.strip() not in told

    assert main(["-c", config, "token", "list", "--json"]) == 0
    listed = capsys.readouterr().out
    assert [(row["name"], row["role"], row["revoked_at"]) for row in json.loads(listed)] == [
        ("cron", "operator", None)
    ]
    assert secret.strip() not in listed

    assert main(["-c", config, "token", "revoke", "1"]) == 0
    assert main(["-c", config, "token", "revoke", "cron"]) == 0
    assert main(["-c", config, "token", "revoke", "other"]) == 2
    assert "no such token" in capsys.readouterr().err
