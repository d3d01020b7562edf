"""The page of tokens: for admins only, the secret shown once, and revoked at once."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dashboard.entering import House, house
from tests.dashboard.test_dash_pages import Look, looked, sound
from transfer.ledger import tokens

HTML = {"Accept": "text/html"}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as made:
        yield made


def test_a_token_is_shown_once_used_and_revoked(home: House) -> None:
    anna = home.person("anna")
    sent = {"csrf_token": anna.headers["X-CSRF-Token"]}
    made = anna.post("/tokens", data={**sent, "name": "monitor", "role": "viewer", "days": ""}, headers=HTML)
    assert made.headers["cache-control"] == "no-store"
    sound(Look(made.text), "/tokens")
    found = re.search(r"at_[A-Za-z0-9_-]{32}", made.text)
    assert found
    program = home.client()
    program.headers["Authorization"] = f"Bearer {found[0]}"
    assert program.get("/api/v1/tokens").status_code == 403
    assert program.get("/api/v1/labs").status_code == 200
    look = looked(anna, "/tokens")
    assert "monitor" in look.text
    assert found[0] not in look.text
    (token,) = tokens.listed(home.place.ledger)
    assert anna.post(f"/tokens/{token.id}/revoke", data=sent, headers=HTML).status_code == 303
    assert program.get("/api/v1/labs").status_code == 401
    assert "hold no more" in looked(anna, "/tokens").text
    done = [row.what for row in home.place.events(actor="person:anna")]
    assert done == ["logged_in", "token_made", "token_revoked"]


@pytest.mark.parametrize(
    "asked",
    [{"name": "a b", "role": "viewer"}, {"name": "7", "role": "viewer"}, {"name": "x", "role": "king"}],
)
def test_a_token_that_cannot_be_is_refused_on_the_page(home: House, asked: dict[str, str]) -> None:
    anna = home.person("anna")
    sent = {"csrf_token": anna.headers["X-CSRF-Token"]}
    answer = anna.post("/tokens", data={**sent, **asked}, headers=HTML)
    assert answer.status_code == 422
    sound(Look(answer.text), "/tokens")
    assert tokens.listed(home.place.ledger) == []


@pytest.mark.parametrize("name", ["vera", "otto"])
def test_who_is_no_admin_sees_neither_the_page_nor_its_link(home: House, name: str) -> None:
    client = home.person(name)
    assert client.get("/tokens", headers=HTML).status_code == 403
    assert "/tokens" not in [told.get("href") for told in looked(client, "/").all("a")]
