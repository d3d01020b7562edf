"""`alyx-transfer verify`: the stored copies proved anew, from the store and as their readers see them."""

import uuid
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from sandbox.web_store import Fault, WebStore
from tests.cli.readers import patch
from tests.cli.running import DAY, STORE, SUBJECT, Running

SESSION = f"{SUBJECT}/{DAY}/001"
FILE = f"{SESSION}/alf/spikes.times.npy"
REVISED = f"{SESSION}/alf/#2024-01-01#/spikes.times.npy"


@pytest.fixture
def pushed(lab: Running, web: WebStore) -> Running:
    session = lab.session()
    lab.write(session, "alf/#2024-01-01#/spikes.times.npy", b"revised" * 500)
    assert lab.run("push", session)[0] == 0
    return lab


def stored(lab: Running, path: str) -> Path:
    (found,) = [one for one in lab.stored() if one.parent == (lab.store / path).parent]
    return found


def audits(lab: Running) -> int:
    return len(lab.rows("SELECT id FROM receipts WHERE kind = 'audit'"))


@pytest.mark.parametrize("via", [(), ("--via", "http"), ("--via", "store")], ids=["default", "http", "store"])
def test_all_that_is_right_is_said_and_receipted(pushed: Running, via: tuple[str, ...]) -> None:
    code, out, err = pushed.run("verify", *via)
    assert (code, err) == (0, "")
    assert "2 copies read: 2 right." in out
    assert audits(pushed) == 2


def test_over_http_the_web_server_is_asked_and_else_it_is_not(pushed: Running, web: WebStore) -> None:
    pushed.run("verify")
    assert web.asked == []
    pushed.run("verify", "--via", "http")
    assert sorted("%23" in one.path for one in web.asked) == [False, True]


def test_a_session_or_a_file_may_be_named(pushed: Running) -> None:
    (record,) = [row for row in pushed.alyx.tables.file_records(STORE) if row["relative_path"] == FILE]
    for name, copies in ((SESSION, 2), (FILE, 1), (record["dataset"], 1), (pushed.root / SESSION, 2)):
        assert pushed.json("verify", name)["counts"] == {"right": copies}


def test_a_sample_is_as_large_as_it_was_asked_for(pushed: Running) -> None:
    assert pushed.json("verify", "--sample", 1)["counts"] == {"right": 1}


@pytest.mark.parametrize("via", ["http", "store"])
def test_a_damaged_copy_is_withdrawn_and_the_next_push_sends_it(pushed: Running, via: str) -> None:
    stored(pushed, FILE).write_bytes(b"spikez" * 1000)
    code, out, _ = pushed.run("verify", "--via", via)
    assert code == 1
    assert "sends it again" in out
    assert pushed.announced() == [REVISED]

    assert pushed.run("push", pushed.root / SESSION)[0] == 0
    assert pushed.announced() == [REVISED, FILE]
    assert pushed.run("verify", "--via", via)[0] == 0


def test_what_readers_cannot_read_waits_for_a_person(pushed: Running, web: WebStore) -> None:
    web.fault = lambda asked: None if "%23" in asked.path else Fault(status=403)
    code, out, _ = pushed.run("verify", "--via", "http")
    assert code == 6
    assert "unreadable for readers" in out
    assert "E-2007" in out
    assert pushed.announced() == [REVISED, FILE]


def test_a_web_server_that_asks_for_a_login(pushed: Running, web: WebStore) -> None:
    web.fault = lambda _asked: Fault(status=401)
    code, out, _ = pushed.run("verify", "--via", "http")
    assert code == 4
    assert "[web]" in out


def test_without_a_data_url_readers_cannot_be_played(pushed: Running) -> None:
    patch(pushed, "data-repository", STORE, data_url=None)
    code, _, err = pushed.run("verify", "--via", "http")
    assert code == 6
    assert "no data_url" in err


def test_nothing_has_arrived_yet(lab: Running) -> None:
    assert lab.run("verify") == (0, "Nothing has arrived yet.\n", "")


def test_a_name_the_ledger_does_not_know(pushed: Running) -> None:
    code, _, err = pushed.run("verify", f"{SUBJECT}/{DAY}/009")
    assert code == 2
    assert "E-4008" in err


def test_a_ledger_that_is_not_the_labs_withdraws_nothing(pushed: Running) -> None:
    """An older or a foreign ledger would take newer files for damaged ones."""
    engine = create_engine(f"sqlite:///{pushed.ledger}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE ledger SET uuid = :uuid"), {"uuid": uuid.uuid4().hex})
    engine.dispose()
    stored(pushed, FILE).write_bytes(b"newer")

    code, _, err = pushed.run("verify")

    assert code == 6
    assert "E-4004" in err
    assert pushed.announced() == [REVISED, FILE]
