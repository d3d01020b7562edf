"""The one secret the program needs: where it comes from, and that it stays one."""

import json
from pathlib import Path

import pytest
from pydantic import SecretStr

from config import wiring
from config.secrets import read_password, read_token
from config.sections import Alyx
from transfer.errors import CatalogLoginRefused

TOKEN = "0f3c" * 10


@pytest.fixture
def file(tmp_path: Path) -> Path:
    one = tmp_path / "secret"
    one.touch(mode=0o600)
    return one


def test_the_first_line_of_the_file_is_the_password(file: Path) -> None:
    """An editor's last line break does not belong to it, a blank at its end does."""
    file.write_text("correct horse \r\n# written by me\n")

    found = read_password(file, user="bot")

    assert found.password is not None
    assert found.password.get_secret_value() == "correct horse "
    assert "correct" not in repr(found)


def test_a_file_with_just_the_token_is_enough(file: Path) -> None:
    file.write_text(f"{TOKEN}\n")

    assert read_token(file, user="bot").token == SecretStr(TOKEN)


def test_the_file_of_the_one_library_gives_the_users_token(file: Path) -> None:
    file.write_text(
        json.dumps({"ALYX_LOGIN": "me", "TOKEN": {"me": {"token": "f" * 40}, "bot": {"token": TOKEN}}})
    )

    assert read_token(file, user="bot").token == SecretStr(TOKEN)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        '{"TOKEN": null}',
        '{"TOKEN": {"me": {"token": "x"}}}',
        '{"TOKEN": {"bot": 3}}',
        "{broken",
        "a b",
    ],
)
def test_a_file_without_the_users_token_is_refused_in_words(file: Path, content: str) -> None:
    file.write_text(content)

    with pytest.raises(CatalogLoginRefused, match="no token for user bot"):
        read_token(file, user="bot")


def test_an_empty_first_line_is_no_password(file: Path) -> None:
    file.write_text("\nhunter2\n")

    with pytest.raises(CatalogLoginRefused, match="no first line") as raised:
        read_password(file, user="bot")
    assert "hunter2" not in str(raised.value)


def test_a_file_that_vanished_after_loading_is_refused_in_words(file: Path) -> None:
    file.unlink()

    with pytest.raises(CatalogLoginRefused, match="cannot be read"):
        read_password(file, user="bot")


def test_the_credential_is_the_one_the_config_names(file: Path) -> None:
    file.write_text(TOKEN)
    url, user = "https://alyx.example.org", "bot"

    by_token = wiring.credential(Alyx(url=url, user=user, token_file=file))
    by_file = wiring.credential(Alyx(url=url, user=user, password_file=file))
    direct = wiring.credential(Alyx(url=url, user=user, password=SecretStr("hunter2")))

    assert (by_token.token, by_token.password) == (SecretStr(TOKEN), None)
    assert (by_file.token, by_file.password) == (None, SecretStr(TOKEN))
    assert (direct.token, direct.password) == (None, SecretStr("hunter2"))
