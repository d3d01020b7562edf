"""`alyx-transfer push`, as a person at the rig uses it: against an Alyx and an SFTP server that run."""

import errno
import os
import pty
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from cli.progress import Estimate, Standing, Watcher, description
from tests.cli.running import STORE, SUBJECT, Running, environment
from tests.client import other_client

SESSION = f"{SUBJECT}/2026-03-04/001"
FILE = f"{SESSION}/alf/spikes.times.npy"


def full(operation: str, path: str) -> None:
    """A store that takes no byte."""
    if operation == "write":
        raise OSError(errno.ENOSPC, "no space left", path)


# ---- all goes well


def test_a_pushed_session_is_at_the_store_and_announced(lab: Running) -> None:
    """No worker, no broker: one command, and Alyx says that the copy exists."""
    session = lab.session()

    code, out, err = lab.run("push", session)

    assert (code, err) == (0, "")
    assert lab.announced() == [FILE]
    (stored,) = lab.stored()
    assert stored.read_bytes() == (session / "alf/spikes.times.npy").read_bytes()
    assert re.search(r"alf/spikes.times.npy +recorded +5.9 KiB", out)
    assert "1 of 1 files recorded" in out


def test_a_second_push_moves_nothing(lab: Running) -> None:
    session = lab.session()
    lab.run("push", session)
    before = [(path, path.stat().st_mtime_ns, path.stat().st_ino) for path in lab.stored()]

    assert lab.run("push", session)[0] == 0
    assert [(path, path.stat().st_mtime_ns, path.stat().st_ino) for path in lab.stored()] == before


def test_several_folders_are_pushed_together_and_each_once(lab: Running) -> None:
    first, second = lab.session("001"), lab.session("002")

    code, out, _ = lab.run("push", first, second, first)

    assert code == 0
    assert len(lab.announced()) == 2
    assert out.count("1 of 1 files recorded") == 2


def test_a_folder_may_be_named_from_where_one_stands_or_through_a_link(
    lab: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lab.session("001"))
    assert lab.run("push", ".")[0] == 0
    lab.session("002")
    (tmp_path / "rig").symlink_to(lab.root)
    assert lab.run("push", tmp_path / "rig" / SUBJECT / "2026-03-04" / "002")[0] == 0
    assert len(lab.announced()) == 2


def test_what_alyx_cannot_register_is_listed_with_its_reason(lab: Running) -> None:
    """It stays on the lab machine and is no reason to fail, but never left out."""
    session = lab.session()
    lab.write(session, "alf/notes.xyz", b"x")

    code, out, _ = lab.run("push", session)

    assert code == 0
    assert re.search(r"alf/notes.xyz +unregistrable .*Alyx knows no data format for .xyz", out)


def test_programs_are_told_everything(lab: Running) -> None:
    told = lab.json("push", lab.session())

    (session,) = told["sessions"]
    assert (session["session"], session["done"], session["held"]) == (SESSION, True, False)
    assert [file["status"] for file in session["files"]] == ["recorded"]
    assert told["places"] == []
    assert told["exit_code"] == 0


def test_a_large_session_shows_what_is_not_recorded_and_counts_the_rest(lab: Running) -> None:
    session = lab.session()
    for number in range(55):
        lab.write(session, f"raw_{number}/spikes.times.npy", b"%d" % number)
    lab.write(session, "alf/notes.xyz", b"x")

    _, out, _ = lab.run("push", session)

    assert "alf/notes.xyz" in out
    assert "and 56 files that are recorded" in out
    assert "raw_3/" not in out


@pytest.fixture
def listed(lab: Running) -> Running:
    """A lab whose files other tools register: Alyx lists one of the two that lie in the session."""
    session = lab.session()
    lab.write(session, "alf/clusters.depths.npy", b"others still work on it")
    lab.configure(work="alyx")
    with other_client(lab) as other:  # type: ignore[arg-type]
        files = {"alf/spikes.times.npy": (session / "alf/spikes.times.npy").read_bytes()}
        assert other.register(SESSION, files).status_code == 201
    return lab


def test_in_an_alyx_lab_exactly_what_alyx_lists_as_missing_moves(listed: Running) -> None:
    folder = listed.root / SESSION

    (plan,) = listed.json("push", "--dry-run", folder)
    assert [file["relative_path"] for file in plan["moving"]] == ["alf/spikes.times.npy"]
    assert listed.run("push", folder)[0] == 0

    assert listed.announced() == [FILE]
    assert len(listed.stored()) == 1
    (plan,) = listed.json("push", "--dry-run", folder)
    assert (plan["files"], plan["arrived"]) == (0, 1)


# ---- what would move


def test_a_dry_run_says_what_would_move_and_does_nothing(lab: Running) -> None:
    """Not a row, not even a ledger's file; and it agrees with the push that follows."""
    session = lab.session()
    lab.write(session, "alf/notes.xyz", b"x")

    code, out, err = lab.run("push", "--dry-run", session)

    assert (code, err) == (0, "")
    assert "1 file, 5.9 KiB would move, in about 1 s if the line carries 20 MB/s" in out
    assert "alf/spikes.times.npy  5.9 KiB" in out
    assert "stays: alf/notes.xyz: Alyx knows no data format" in out
    assert not lab.ledger.exists()
    assert lab.stored() == []
    assert lab.alyx.tables.file_records() == []

    (plan,) = lab.json("push", "--dry-run", session)
    (pushed,) = lab.json("push", session)["sessions"]
    moved = [
        (file["relative_path"], file["size"]) for file in pushed["files"] if file["status"] == "recorded"
    ]
    assert [(file["relative_path"], file["size"]) for file in plan["moving"]] == moved


def test_a_dry_run_beside_a_ledger_leaves_it_as_it_was(lab: Running) -> None:
    session = lab.session()
    lab.run("push", session)
    lab.write(session, "alf/clusters.depths.npy", b"new")
    tables = [row[0] for row in lab.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
    before = {table: lab.rows(f"SELECT * FROM {table}") for table in tables}

    code, out, _ = lab.run("push", "--dry-run", session, lab.session("002"))

    assert code == 0
    assert "1 file, 3 B would move" in out
    assert "1 are there already" in out
    assert {table: lab.rows(f"SELECT * FROM {table}") for table in tables} == before


def test_a_dry_run_knows_what_is_held(lab: Running) -> None:
    """It would not move, however moving it looks."""
    session = lab.session(known=False)
    lab.run("push", session)
    lab.session()

    _, out, _ = lab.run("push", "--dry-run", session)

    assert "nothing would move" in out
    assert "stays: alf/spikes.times.npy: its session is held (session-unknown-to-alyx)" in out


def test_a_dry_run_stops_where_a_push_would(lab: Running) -> None:
    code, out, err = lab.run("push", "--dry-run", lab.session("002", known=False), lab.session())

    assert code == 6
    assert err.startswith("[E-3007] Alyx has no such session")
    assert "1 file, 5.9 KiB would move" in out


# ---- not all goes well


def test_what_waits_says_until_when_and_why_and_a_push_tries_it_at_once(lab: Running) -> None:
    session = lab.session()
    lab.before = full

    code, out, err = lab.run("push", session)

    assert (code, err) == (1, "")
    assert re.search(
        r"the next step is due at 20\d\d-\d\d-\d\d \d\d:\d\dZ after 1 failed try, because the store", out
    )
    assert lab.announced() == []
    lab.before = None
    assert lab.run("push", session)[0] == 0
    assert lab.announced() == [FILE]


def test_what_is_held_says_why_and_what_to_do(lab: Running) -> None:
    session = lab.session(known=False)

    code, out, _ = lab.run("push", session)

    assert code == 6
    assert "Alyx has no such session" in out
    assert f"`alyx-transfer release {SESSION}`" in out
    lab.session()
    assert lab.run("push", session)[0] == 6, "only a release lets a held session go on"
    assert lab.run("release", SESSION)[0] == 0
    assert lab.run("push", session)[0] == 0


def test_a_place_that_the_program_keeps_back_is_tried_again_in_the_persons_name(lab: Running) -> None:
    """A person who asks for it now may just have cured it."""
    session = lab.session()
    port = lab.server.port
    lab.configure(port=1)
    assert lab.run("push", session)[0] == 5
    lab.configure(port=port)

    assert lab.run("push", session)[0] == 0

    events = lab.rows("SELECT actor FROM events WHERE subject_id = 'flatiron_cortexlab' AND what = 'resumed'")
    assert [row.actor for row in events] == ["person:anne"]


def test_what_a_person_paused_stays_paused(lab: Running) -> None:
    session = lab.session()
    lab.run("push", lab.session("002"))
    lab.run("pause", STORE, "--why", "new disks until Friday")

    code, _, err = lab.run("push", session)

    assert code == 6
    assert err == (
        f"{STORE} is paused by anne: new disks until Friday. To use it again: alyx-transfer resume {STORE}\n"
    )
    assert len(lab.announced()) == 1


def test_what_a_worker_holds_is_watched_and_not_taken(lab: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process sends the files we wait, and then say how it ended."""
    session = lab.session()
    sending, seen = threading.Event(), threading.Event()

    def slowly(operation: str, _path: str) -> None:
        if operation == "write":
            sending.set()
            assert seen.wait(60)

    @contextmanager
    def watch(*_: object, **__: object) -> Iterator[Watcher]:
        yield Watcher(lambda _count: None, lambda others: seen.set() if others else None)

    lab.before = slowly
    monkeypatch.setattr("cli.progress.watch", watch)
    monkeypatch.setattr("transfer.foreground._LOOK_AGAIN", 0.05)
    with lab.start("push", session, env=environment()) as other:
        assert sending.wait(60)
        code, out, _ = lab.run("push", session)
        assert other.communicate()[1] == ""

    assert (code, other.returncode) == (0, 0)
    assert re.search("spikes.times.npy +recorded", out)
    (sent,) = lab.rows("SELECT count(*) AS times FROM events WHERE became = 'sent'")
    assert sent.times == 1


# ---- Ctrl-C


@pytest.mark.parametrize("operation", ["open", "write", "read", "posix_rename"])
def test_ctrl_c_is_clean_at_any_step(lab: Running, operation: str) -> None:
    """One word, exit code 130, nothing leased, nothing announced; and the next push ends the work."""
    assert lab.run("push", lab.session("002"))[0] == 0  # what may be done at the store is known from now on
    session = lab.session()
    large = lab.write(session, "raw_ephys_data/_spikeglx_ephysData_g0_t0.imec0.ap.cbin", os.urandom(8 << 20))
    reached, released = threading.Event(), threading.Event()

    def hang(asked: str, _path: str) -> None:
        if asked == operation:
            reached.set()
            released.wait(0.05 if operation in ("write", "read") else 3)

    lab.before = hang
    with lab.start("push", session, env=environment()) as child:
        assert reached.wait(60)
        ended = lab.interrupt(child)
    released.set()

    assert ended == (130, "", "interrupted\n")
    assert lab.leases() == []
    lab.before = None
    assert lab.run("push", session)[0] == 0
    assert len(lab.announced()) == 3
    small = len(b"spikes" * 1000)
    assert sorted(path.stat().st_size for path in lab.stored()) == [small, small, large.stat().st_size]


def test_ctrl_c_while_alyx_is_slow_is_clean(lab: Running) -> None:
    session = lab.session()
    lab.alyx.faults.add("*", "/.*", times=1000, delay=0.3)

    with lab.start("push", session, env=environment()) as child:
        while not lab.alyx.requests.count("GET", "/dataset-types"):
            assert child.poll() is None
        ended = lab.interrupt(child)

    assert ended == (130, "", "interrupted\n")
    assert lab.leases() == []


# ---- the bar


def test_a_terminal_sees_a_bar(lab: Running) -> None:
    session = lab.session()
    control, terminal = pty.openpty()
    with lab.start(
        "push", session, stderr=terminal, env={**environment(), "TERM": "xterm", "COLUMNS": "120"}
    ) as child:
        os.close(terminal)
        shown = b""
        with suppress(OSError):  # Linux answers EIO when the other end is closed
            while piece := os.read(control, 4096):
                shown += piece
        out = child.communicate(timeout=60)[0]
    os.close(control)
    assert child.returncode == 0
    assert "1 of 1 files recorded" in shown.decode()
    assert "5.9/5.9 KiB" in shown.decode()
    assert "\x1b" not in out


def test_bytes_are_shown_as_they_go_by_and_never_more_than_there_are() -> None:
    estimate, known = Estimate(), Standing(recorded=0, files=3, arrived=0, total=300)
    assert estimate.shown(Standing(), 250) == 0, "hashing is not sending"
    assert estimate.shown(known, 300) == 0
    assert estimate.shown(known, 350) == 50
    assert estimate.shown(replace(known, arrived=100), 420) == 120
    assert estimate.shown(replace(known, arrived=100), 9000) == 300
    assert estimate.shown(replace(known, arrived=100, recorded=1), 9000) == 100
    assert estimate.shown(replace(known, arrived=300, recorded=3), 9100) == 300


def test_the_bar_says_what_is_done_and_who_does_it() -> None:
    assert description(Standing(), ()) == "hashing files"
    assert description(Standing(2, 3, 0, 0), ()) == "2 of 3 files recorded"
    assert description(Standing(2, 3, 0, 0), ("rig-7:12",)) == "watching rig-7:12: 2 of 3 files recorded"


def test_a_session_of_which_alyx_misses_nothing_says_why_nothing_moves(lab: Running) -> None:
    """With work = "alyx" only registered files move; the folder's state has nothing to do with it."""
    lab.configure(work="alyx")
    session = lab.session()

    code, out, _ = lab.run("push", "--dry-run", str(session))
    assert code == 0
    assert 'with work = "alyx" only what Alyx lists as missing' in out
    code, out, _ = lab.run("push", str(session))
    assert "Alyx lists no file of it as missing at the store." in out
    assert lab.stored() == []
    code, out, _ = lab.run("why", str(session))
    assert 'set work = "disk"' in out
