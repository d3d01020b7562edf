"""The one secret the program needs: where it comes from, and that it stays one."""

import json
import os
from contextlib import nullcontext
from pathlib import Path

import pytest
from pydantic import SecretStr

from config import wiring
from config.problems import Wrong
from config.secrets import check_mode, read_password, read_token
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


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
@pytest.mark.parametrize(
    ("mode", "owner", "us", "fine"),
    [
        (0o400, 1000, 1000, True),
        (0o440, 0, 1000, True),  # a credential of systemd, or a secret of an orchestrator
        (0o440, 0, 0, False),  # whoever is root has no need to lend it
        (0o440, 1000, 1000, False),
        (0o460, 0, 1000, False),
        (0o444, 0, 1000, False),
    ],
)
def test_a_secret_of_roots_may_be_lent_to_our_group(
    file: Path, monkeypatch: pytest.MonkeyPatch, mode: int, owner: int, us: int, fine: bool
) -> None:
    """As systemd does it with credentials: root owns the file, and the service's account may read it."""
    facts = os.stat_result((0o100000 | mode, 0, 0, 1, owner, owner, 7, 0, 0, 0))
    monkeypatch.setattr(Path, "stat", lambda _path: facts)
    monkeypatch.setattr(os, "geteuid", lambda: us)

    with nullcontext() if fine else pytest.raises(Wrong, match="can be read by others"):
        check_mode(file)
