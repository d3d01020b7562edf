"""A database's or broker's password from a file of its own: it reaches the server, and nobody else."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url

from config.sections import with_password, without_password
from config.settings import load
from transfer.errors import ConfigProblems

CONFIG = """
[alyx]
url = "https://alyx.example.org/"
user = "transfer_bot"
password_file = "{folder}/alyx"

[ledger]
url = "{ledger}"
password_file = "{folder}/ledger"

[broker]
url = "{broker}"
password_file = "{folder}/broker"
"""
LEDGER = "postgresql://transfer@db.example.org:5433/ledger?sslmode=require"
BROKER = "rediss://broker.example.org:6380/0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the three files; only their owner can read them."""
    for name in ("alyx", "ledger", "broker"):
        secret(tmp_path / name, f"p@ss:/{name}%\nnot this line\n")
    return tmp_path


def secret(file: Path, text: str, *, mode: int = 0o600) -> None:
    file.write_text(text)
    file.chmod(mode)


def config(folder: Path, *, ledger: str = LEDGER, broker: str = BROKER) -> Path:
    """A config that others may read: no secret is in it."""
    file = folder / "config.toml"
    file.write_text(CONFIG.format(folder=folder.as_posix(), ledger=ledger, broker=broker))
    file.chmod(0o644)
    return file


def problems(file: Path) -> list[str]:
    with pytest.raises(ConfigProblems) as raised:
        load(file, {})
    return raised.value.problems


def test_the_files_first_line_becomes_the_addresss_password(folder: Path) -> None:
    """Whatever signs are in it, and although the config itself is for everybody to read."""
    settings = load(config(folder), {})

    assert make_url(settings.ledger.url).password == "p@ss:/ledger%"
    assert without_password(settings.ledger.url) == LEDGER.replace("transfer@", "transfer:***@")
    assert settings.broker.url == "rediss://:p%40ss%3A%2Fbroker%25@broker.example.org:6380/0"


def test_what_people_are_shown_has_no_password(folder: Path) -> None:
    settings = load(config(folder), {})

    assert settings.ledger.shown == LEDGER.replace("transfer@", "transfer:***@")
    assert "p@ss" not in repr(settings)
    assert "p%40ss" not in repr(settings)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"ledger": "postgresql://transfer:other@db/ledger"}, "ledger: url has a password"),
        ({"ledger": "sqlite:////srv/ledger.sqlite"}, "ledger: password_file is set, and url names no server"),
        ({"broker": "memory://"}, "broker: password_file is set, and url names no server"),
        ({"broker": "redis://:other@host/0"}, "broker: url has a password"),
    ],
)
def test_an_address_that_needs_no_password_from_a_file_is_refused(
    folder: Path, wrong: dict[str, str], said: str
) -> None:
    found = problems(config(folder, **wrong))

    assert len(found) == 1
    assert said in found[0]
    assert "other" not in found[0]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_a_file_that_others_can_read_is_refused(folder: Path) -> None:
    (folder / "broker").chmod(0o644)

    assert "broker.password_file: " in problems(config(folder))[0]


def test_a_file_without_a_first_line_is_refused(folder: Path) -> None:
    secret(folder / "ledger", "\nsecond\n")

    [said] = problems(config(folder))

    assert "ledger.password_file" in said
    assert "has no first line" in said
    assert "second" not in said


@given(st.text(min_size=1, alphabet=st.characters(codec="utf-8", exclude_categories=["Cc"])))
def test_every_password_comes_through_an_address_and_is_hidden_again(password: str) -> None:
    whole = with_password(LEDGER, password)

    assert make_url(whole).password == password
    assert without_password(whole) == LEDGER.replace("transfer@", "transfer:***@")
