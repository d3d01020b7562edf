"""Which sessions a scan rings for, in both work sources."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event

from tests.client import other_client
from tests.world import LAB_SERVER, STORE, World, world
from transfer.errors import SourceRootMissing
from transfer.runner import Runner
from transfer.steps.scan import Scan, scan

SESSION = "KS023/2019-12-10/001"
NAME = "alf/spikes.times.npy"
FILE = f"{SESSION}/{NAME}"
FLAG = "raw_session.flag"
OURS = b"the lab's bytes"


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def flagged(box: World) -> World:
    box.lab = replace(box.lab, flag=FLAG)
    return box


@pytest.fixture
def listed(box: World) -> World:
    """A lab whose files other tools register."""
    box.lab = replace(box.lab, work="alyx")
    return box


def look(box: World, runner: Runner) -> Scan:
    return scan(runner.ledger, runner.catalog, box.lab)


def age(box: World, session: Path, seconds: float) -> None:
    """Every file of the session was last written so long ago, by the world's clock."""
    when = box.clock.monotonic() - seconds
    for path in session.rglob("*"):
        os.utime(path, (when, when))


# ---- disk, by flag


def test_a_flagged_session_is_due_after_two_equal_looks(flagged: World) -> None:
    session = flagged.session()
    flagged.write(session, NAME, OURS)
    runner = flagged.runner()
    assert look(flagged, runner) == Scan(1, 0)
    assert flagged.rows("SELECT * FROM sessions") == []  # not complete: not even noted

    flagged.write(session, FLAG, b"")
    assert look(flagged, runner).due == 0
    assert runner.due_sessions() == []
    assert look(flagged, runner).due == 1
    assert len(runner.due_sessions()) == 1


def test_a_session_that_still_changes_between_looks_is_not_due(flagged: World) -> None:
    session = flagged.session()
    flagged.write(session, FLAG, b"")
    runner = flagged.runner()
    for number in range(4):
        flagged.write(session, NAME, OURS * (number + 1))
        assert look(flagged, runner).due == 0
    assert look(flagged, runner).due == 1


def test_a_session_stays_complete_when_its_flag_is_removed(flagged: World) -> None:
    """Other tools remove it when they are done, perhaps between our two looks."""
    session = flagged.session()
    flagged.write(session, NAME, OURS)
    flagged.write(session, FLAG, b"")
    runner = flagged.runner()
    look(flagged, runner)
    (session / FLAG).unlink()
    assert look(flagged, runner).due == 1
    flagged.settle(runner)
    assert flagged.record(FILE)["exists"]

    # and a file that is patched later goes as well
    flagged.write(session, NAME, b"a better version")
    assert look(flagged, runner).due == 0
    assert look(flagged, runner).due == 1
    flagged.settle(runner)
    assert flagged.stored(FILE).read_bytes() == b"a better version"


def test_an_unchanged_session_is_never_due_again(flagged: World) -> None:
    session = flagged.session()
    flagged.write(session, NAME, OURS)
    flagged.write(session, FLAG, b"")
    runner = flagged.runner()
    look(flagged, runner), look(flagged, runner)
    flagged.settle(runner)
    for _ in range(3):
        assert look(flagged, runner).due == 0
        flagged.clock.advance(86400)
    assert runner.due_sessions() == []


# ---- disk, by quiet


def test_a_quiet_session_is_due_after_its_time(box: World) -> None:
    session = box.session()
    box.write(session, NAME, OURS)
    age(box, session, 0)
    runner = box.runner()
    assert look(box, runner).due == look(box, runner).due == 0
    box.clock.advance(timedelta(minutes=10).total_seconds())
    assert look(box, runner).due == 0
    assert look(box, runner).due == 1
    box.settle(runner)
    assert look(box, runner).due == look(box, runner).due == 0

    # a recording that goes on after a pause is waited for again
    box.write(session, "alf/spikes.amps.npy", OURS)
    age(box, session, 0)
    assert look(box, runner).due == look(box, runner).due == 0
    box.clock.advance(timedelta(minutes=10).total_seconds())
    assert look(box, runner).due == 0
    assert look(box, runner).due == 1


def test_a_rig_whose_clock_is_ahead_is_not_waited_for_until_then(box: World) -> None:
    """Two equal looks must do: its files are from a far future."""
    session = box.session()
    box.write(session, NAME, OURS)
    age(box, session, -400 * 86400)
    runner = box.runner()
    assert look(box, runner).due == 0
    assert look(box, runner).due == 1


def test_an_empty_session_is_not_complete(box: World) -> None:
    box.session()
    runner = box.runner()
    assert [look(box, runner).due for _ in range(3)] == [0, 0, 0]


# ---- disk, the folders


def test_only_session_folders_are_sessions(box: World) -> None:
    """What has another shape is left alone, links too."""
    for name in ("KS023/2019-12-10/0001", "KS023/2019-13-10/001", "KS023/notes/001", "KS023/2019-12-10/01"):
        age_old = box.lab.root / name / NAME
        age_old.parent.mkdir(parents=True)
        age_old.write_bytes(OURS)
    (box.lab.root / "KS023/2019-12-10/003").symlink_to(box.lab.root / "KS023/2019-12-10/01")
    (box.lab.root / "readme.txt").write_text("hello")
    runner = box.runner()
    assert look(box, runner) == look(box, runner) == Scan(0, 0)


def test_a_missing_root_is_said_and_nothing_is_concluded(box: World) -> None:
    runner = box.runner()
    box.lab.root.rename(box.lab.root.with_name("unmounted"))
    with pytest.raises(SourceRootMissing):
        look(box, runner)


def test_a_thousand_sessions_that_have_not_changed_take_a_handful_of_queries(box: World) -> None:
    """What is done is compared in memory, with one question to the ledger; Alyx is not asked."""
    for subject in range(10):
        for number in range(1, 101):
            folder = box.lab.root / f"S{subject}" / "2019-12-10" / f"{number:03d}"
            folder.mkdir(parents=True)
            (folder / "spikes.times.npy").write_bytes(OURS)
            os.utime(folder / "spikes.times.npy", (0, 0))
    runner = box.runner()
    runner.ledger.engine.dispose()
    event.listen(runner.ledger.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF"))
    assert look(box, runner) == Scan(1000, 0)
    assert look(box, runner) == Scan(1000, 1000)
    box.alyx.requests.reset()
    statements: list[str] = []
    event.listen(runner.ledger.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))

    # rung for and waiting
    assert look(box, runner) == Scan(1000, 1000)
    assert len(statements) <= 10

    # done
    with runner.ledger.writing() as connection:
        connection.exec_driver_sql("UPDATE sessions SET done_look = look, not_before = NULL")
    statements.clear()
    assert look(box, runner) == Scan(1000, 0)
    assert len(statements) <= 10
    assert box.alyx.requests.count() == 0


# ---- alyx


def register(box: World, *names: str, session: str = SESSION) -> None:
    with other_client(box) as other:
        assert other.register(session, dict.fromkeys(names, OURS)).status_code == 201


def test_what_alyx_lists_as_missing_at_the_store_is_due(listed: World) -> None:
    session = listed.session()
    listed.write(session, NAME, OURS)
    runner = listed.runner()
    assert look(listed, runner) == Scan(0, 0)
    register(listed, NAME)
    assert look(listed, runner) == Scan(1, 1)
    listed.settle(runner)
    assert listed.record(FILE)["exists"]
    assert look(listed, runner) == Scan(0, 0)


def test_a_session_whose_missing_files_stay_missing_is_rung_for_once(listed: World) -> None:
    """Alyx lists it for ever; only a change of the list, or of the lab's disk, is news."""
    session = listed.session()
    register(listed, NAME)
    runner = listed.runner()
    assert look(listed, runner).due == 1
    listed.settle(runner)
    assert "[E-1002]" in listed.reason(NAME)
    for _ in range(3):
        listed.clock.advance(86400)
        assert look(listed, runner).due == 0
        assert not runner.work()

    listed.write(session, NAME, OURS)
    assert look(listed, runner).due == 1
    listed.settle(runner)
    assert listed.record(FILE)["exists"]
    assert listed.reason(NAME) == ""


def test_what_an_open_item_works_on_is_not_rung_for(listed: World) -> None:
    session = listed.session()
    listed.write(session, NAME, OURS)
    register(listed, NAME)
    runner = listed.runner()
    look(listed, runner)
    assert runner.advance_session()
    assert look(listed, runner) == Scan(0, 0)


def test_a_path_that_leaves_its_session_is_reported_and_never_looked_at(listed: World) -> None:
    """Anybody may register `..`."""
    listed.session()
    register(listed, "alf/../../../../../etc/spikes.times.npy")
    runner = listed.runner()
    found = look(listed, runner)
    assert (found.sessions, found.due) == (0, 0)
    assert ["[E-3015]" in f"[{one.code}]" for one in found.troubles] == [True]
    assert ".." in found.troubles[0].sentence
    assert listed.rows("SELECT * FROM sessions") == []


def test_records_of_other_repositories_are_not_ours(listed: World) -> None:
    session = listed.session()
    listed.write(session, NAME, OURS)
    register(listed, NAME)
    with other_client(listed) as other:
        other.patch("files", listed.record(FILE)["id"], exists=True)
        other.patch("files", listed.record(FILE, LAB_SERVER)["id"], exists=False)
    runner = listed.runner()
    assert look(listed, runner) == Scan(0, 0)
    assert STORE != LAB_SERVER
