"""Passwords over plain HTTP: `doctor` says so for every server that is shown one, and is not taken in by a name."""

from types import SimpleNamespace
from typing import Any

import pytest

from cli.bench import Note
from cli.checks import encrypted


def bench(alyx: str, server: str | None = None) -> Any:
    web = SimpleNamespace(server=server, user="reader" if server else None)
    return SimpleNamespace(settings=SimpleNamespace(alyx=SimpleNamespace(url=alyx), web=web))


@pytest.mark.parametrize(
    ("alyx", "server"),
    [
        ("http://alyx.example.org", None),
        ("http://localhost.example.org", None),
        ("http://127.example.org", None),
        ("https://alyx.example.org", "http://data.example.org"),
    ],
)
def test_a_password_in_clear_is_noted(alyx: str, server: str | None) -> None:
    with pytest.raises(Note, match="not encrypted"):
        encrypted(bench(alyx, server), "")


@pytest.mark.parametrize(
    "alyx", ["https://alyx.example.org", "http://localhost:8000", "http://127.0.0.1", "http://[::1]:80"]
)
def test_what_stays_on_this_machine_or_is_encrypted_is_fine(alyx: str) -> None:
    assert "not leave" in encrypted(bench(alyx, "https://data.example.org"), "")
