"""One stream of records, in which no secret can be read."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from config import logs
from config.logs import mask
from config.sections import Logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leaves logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_own_and_foreign_records_share_one_stream_of_json() -> None:
    out = io.StringIO()
    logs.configure(Logs(), stream=out)

    with structlog.contextvars.bound_contextvars(batch=7):
        structlog.get_logger("transfer").info("file_sent", bytes=10)
        logging.getLogger("elsewhere").warning("it said %s", "so", extra={"password": "hunter2"})

    own, foreign = (json.loads(line) for line in out.getvalue().splitlines())
    assert (own["event"], own["bytes"], own["batch"], own["level"]) == ("file_sent", 10, 7, "info")
    assert (foreign["event"], foreign["batch"], foreign["password"]) == ("it said so", 7, "***")
    assert own["timestamp"].endswith("Z")


def test_a_traceback_is_masked_too() -> None:
    out = io.StringIO()
    logs.configure(Logs(), stream=out)
    try:
        raise ValueError("redis://:hunter2@broker/0 refused")
    except ValueError:
        structlog.get_logger("transfer").exception("batch_held")

    assert "hunter2" not in out.getvalue()
    assert "ValueError" in json.loads(out.getvalue())["exception"]


def test_text_is_chosen_by_asking_for_it() -> None:
    out = io.StringIO()
    logs.configure(Logs(format="text"), stream=out)

    structlog.get_logger("transfer").info("file_sent", bytes=10)

    assert "file_sent" in out.getvalue()
    assert not out.getvalue().startswith("{")


def test_configuring_twice_writes_each_record_once() -> None:
    out = io.StringIO()
    logs.configure(Logs(), stream=io.StringIO())
    logs.configure(Logs(), stream=out)

    structlog.get_logger("transfer").info("file_sent")

    assert out.getvalue().count("file_sent") == 1


def test_records_below_the_level_and_chatter_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Logs(level="warning"))

    structlog.get_logger("transfer").info("file_sent")
    logging.getLogger("paramiko.transport").info("chatter")
    structlog.get_logger("transfer").warning("batch_held")

    err = capsys.readouterr().err
    assert "batch_held" in err
    assert "file_sent" not in err
    assert "chatter" not in err


SECRET = "hunter2-hunter2"
NAMES = st.sampled_from(["password", "Authorization", "api_key", "access_token", "client_secret", "passwd"])


@given(NAMES, st.recursive(st.just(SECRET), lambda inner: st.lists(inner) | st.tuples(inner), max_leaves=3))
def test_a_field_named_like_a_secret_is_never_written(name: str, value: object) -> None:
    """However deep it lies."""
    record = {"event": "x", "request": {"headers": [{name: value}]}, name: value}

    assert SECRET not in repr(mask(None, "info", record))


@pytest.mark.parametrize(
    "text", [f"amqp://me:{SECRET}@h//", f"to https://x:{SECRET}@h/a failed", f"Authorization: Token {SECRET}"]
)
def test_a_secret_inside_a_text_is_never_written(text: str) -> None:
    assert SECRET not in repr(mask(None, "info", {"event": text}))
    assert "h" in mask(None, "info", {"event": text})["event"]


def test_what_is_no_secret_stays() -> None:
    record = {"event": "file_sent", "path": "a/b.npy", "url": "https://h/a@b", "bytes": 3, "token": None}

    assert mask(None, "info", record) == record
