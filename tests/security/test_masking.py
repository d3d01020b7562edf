"""The second line of defence: a secret that is brought into a message by mistake is not readable there."""

import io
import logging
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from cli.failures import defect_sentence
from config import logs
from config.secrets import read_password, read_token, remember_secrets
from config.sections import Broker, Ledger, Logs, Web
from transfer import secrecy
from transfer.errors import LoginRefused, Unexpected
from transfer.secrecy import MASK, SHORTEST, masked, remember

SECRET = 'co"rrect horse/bättery+staple'


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is remembered here is forgotten afterwards, and logging is left as it was."""
    monkeypatch.setattr(secrecy._Known, "forms", ())
    monkeypatch.setattr(secrecy._Known, "pattern", None)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


class Chatty:
    """An object that tells a secret when it is shown."""

    def __repr__(self) -> str:
        return f"<Login {SECRET}>"


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_secret_that_is_logged_on_purpose_is_masked(form: str) -> None:
    """As a field, inside one, in the event, in an object's repr, in a traceback, by us and by a library."""
    remember(SECRET)
    out = io.StringIO()
    logs.configure(Logs(level="debug", format=form), stream=out)  # type: ignore[arg-type]
    log = structlog.get_logger("transfer")

    log.info(
        f"sent {SECRET}", field=SECRET, deep=[{"a": (SECRET,)}], shown=Chatty(), url=quote(SECRET, safe="")
    )
    logging.getLogger("elsewhere").warning("it said %s and %r", SECRET, {"x": SECRET})
    try:
        raise ValueError(f"refused: {SECRET}")
    except ValueError:
        log.exception("defect")

    assert MASK in out.getvalue()
    assert "ValueError" in out.getvalue()
    for shown in ("horse", "staple"):
        assert shown not in out.getvalue()


def test_an_error_and_the_file_of_a_defect_are_masked(tmp_path: Path) -> None:
    """So are the ledger, the row in Alyx and the pages, which hold errors' sentences."""
    remember(SECRET)

    error = LoginRefused(f"the server said {SECRET}", to=f"sftp://me:{SECRET}@rig", do=f"Change {SECRET}.")
    told = defect_sentence(ValueError(f"header: {SECRET}"), tmp_path / "state")

    for text in (error.sentence, str(error), repr(error), error.what, error.to, error.do, told):
        assert "horse" not in text
    (file,) = (tmp_path / "state").iterdir()
    assert "header: ***" in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "horse" not in str(Unexpected(f"ValueError: {SECRET}"))


@given(secret=st.text(min_size=SHORTEST), before=st.text(), after=st.text())
def test_no_form_of_a_secret_is_left(secret: str, before: str, after: str) -> None:
    """As it is, in a URL, in a form: whatever letters it is made of."""
    remember(secret)
    for form in (secret, quote(secret, safe="", errors="replace"), quote_plus(secret, errors="replace")):
        told = masked(f"{before}{form}{after}")
        assert form not in told or form in MASK * 3 + before + MASK + after


@given(short=st.text(max_size=SHORTEST - 1), text=st.text())
def test_what_is_too_short_is_not_looked_for(short: str, text: str) -> None:
    """Else a password of one letter would leave nothing to read."""
    before = masked(text)
    remember(short)
    remember(None)
    assert masked(text) == before


def test_the_longer_of_two_secrets_is_masked_as_a_whole() -> None:
    remember("password-one")
    remember("password-one-and-more")
    assert masked("x password-one-and-more y password-one z") == f"x {MASK} y {MASK} z"


def test_every_secret_of_a_config_is_remembered(tmp_path: Path) -> None:
    """Fields, passwords in addresses as they are written and as they are meant, and the files' contents."""
    file = tmp_path / "secret"
    file.write_text("from-a-password-file\n")
    remember_secrets(Ledger(url="postgresql://me:ledger%2Fsecret@host/db"))
    remember_secrets({"x": Broker(url="redis://:broker-secret@host/0")})
    remember_secrets(Web(server="https://h", user="u", password=SecretStr("web-secret-web")))
    remember_secrets(Ledger(url="postgresql://host/db?password=query-secret"))
    read_password(file, user="bot")
    file.write_text("0f3c" * 10)
    read_token(file, user="bot")

    for secret in (
        *("ledger%2Fsecret", "ledger/secret", "broker-secret", "web-secret-web", "query-secret"),
        *("from-a-password-file", "0f3c" * 10),
    ):
        assert masked(f"<{secret}>") == f"<{MASK}>"


def test_tokens_are_renewed_for_ever_and_memory_is_not() -> None:
    for number in range(500):
        remember(f"token-{number:08}")
    assert len(secrecy._Known.forms) <= 300
    assert masked("token-00000499") == MASK
