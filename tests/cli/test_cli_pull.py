"""`alyx-transfer pull`, as a person at a desk uses it: from an Alyx, a store and a web server that run."""

import shutil
import threading
import time
from pathlib import Path

import pytest

from sandbox.web_store import Fault, WebStore
from tests.cli.readers import patch
from tests.cli.running import DAY, STORE, SUBJECT, Running, environment

SESSION = f"{SUBJECT}/{DAY}/001"
FILE = f"{SESSION}/alf/spikes.times.npy"
REVISED = f"{SESSION}/alf/#2024-01-01#/spikes.times.npy"
SPIKES = b"spikes" * 1000
SHA1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709"  # as old rows of Alyx have it


@pytest.fixture
def there(lab: Running, web: WebStore) -> Path:
    """A session that was pushed; answers the folder to pull to."""
    session = lab.session()
    lab.write(session, "alf/#2024-01-01#/spikes.times.npy", b"revised" * 500)
    assert lab.run("push", session)[0] == 0
    return lab.folder / "here"


def stored(lab: Running, path: str) -> Path:
    """Where the central copy of a file stands."""
    (found,) = [one for one in lab.stored() if one.parent == (lab.store / path).parent]
    return found


def brought(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


# ---- all goes well


@pytest.mark.parametrize("via", [(), ("--via", "http"), ("--via", "store")], ids=["default", "http", "store"])
def test_a_session_comes_back_as_the_lab_had_it(lab: Running, there: Path, via: tuple[str, ...]) -> None:
    code, out, err = lab.run("pull", SESSION, "--to", there, *via)

    assert (code, err) == (0, "")
    assert brought(there) == {FILE: SPIKES, REVISED: b"revised" * 500}
    assert "2 files: 2 pulled" in out


def test_a_second_pull_reads_nothing(lab: Running, web: WebStore, there: Path) -> None:
    lab.run("pull", SESSION, "--to", there, "--via", "http")
    before = len(web.asked)
    code, out, _ = lab.run("pull", SESSION, "--to", there, "--via", "http")
    assert code == 0
    assert "2 present" in out
    assert len(web.asked) == before


def test_a_file_is_named_in_every_way_a_person_may(lab: Running, there: Path) -> None:
    (record,) = [row for row in lab.alyx.tables.file_records(STORE) if row["relative_path"] == FILE]
    (session,) = lab.alyx.tables.sessions()
    for number, (name, files) in enumerate(
        [(record["dataset"], 1), (session["id"], 2), (FILE, 1), (REVISED, 1), (lab.root / FILE, 1)]
    ):
        assert lab.run("pull", name, "--to", there / str(number))[0] == 0
        assert len(brought(there / str(number))) == files


def test_only_some_of_a_session(lab: Running, there: Path) -> None:
    assert lab.run("pull", SESSION, "--to", there, "--only", "*#2024-01-01#*")[0] == 0
    assert list(brought(there)) == [REVISED]
    code, out, _ = lab.run("pull", SESSION, "--to", there, "--only", "*.mp4")
    assert code == 1
    assert "no file that fits" in out


def test_a_dry_run_only_says_what_would_come(lab: Running, there: Path) -> None:
    code, out, _ = lab.run("pull", SESSION, "--to", there, "--dry-run")
    assert code == 0
    assert "2 would come" in out
    assert not there.exists()


def test_json_is_for_programs(lab: Running, there: Path) -> None:
    told = lab.json("pull", SESSION, "--to", there)
    assert told["counts"] == {"pulled": 2}
    assert told["exit_code"] == 0
    assert {row["path"] for row in told["files"]} == {FILE, REVISED}
    assert {row["code"] for row in told["files"]} == {None}


def test_neither_ledger_nor_lab_is_needed(lab: Running, there: Path) -> None:
    """At an analysis machine there is an Alyx and a way to read, and no more."""
    lab.ledger.unlink()
    front, _ = lab.config.read_text().split("[labs.")
    lab.config.write_text(front)
    assert lab.run("pull", SESSION, "--to", there, "--store", STORE)[0] == 0
    assert len(brought(there)) == 2
    assert not lab.ledger.exists()


# ---- what a person has there already


def test_a_file_of_ones_own_is_never_overwritten(lab: Running, there: Path) -> None:
    mine = there / FILE
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"my own work")
    code, out, _ = lab.run("pull", SESSION, "--to", there)
    assert code == 6
    assert "E-1011" in out
    assert brought(there) == {FILE: b"my own work", REVISED: b"revised" * 500}

    assert lab.run("pull", SESSION, "--to", there, "--replace")[0] == 0
    assert mine.read_bytes() == SPIKES


def test_a_link_in_the_files_place_is_not_written_through(lab: Running, there: Path) -> None:
    (there / FILE).parent.mkdir(parents=True)
    elsewhere = lab.folder / "elsewhere"
    elsewhere.write_bytes(b"not yours")
    (there / FILE).symlink_to(elsewhere)
    assert lab.run("pull", FILE, "--to", there)[0] == 6
    assert lab.run("pull", FILE, "--to", there, "--replace")[0] == 0
    assert elsewhere.read_bytes() == b"not yours"
    assert not (there / FILE).is_symlink()
    assert (there / FILE).read_bytes() == SPIKES


# ---- what goes wrong at the store


@pytest.mark.parametrize("via", ["http", "store"])
def test_wrong_bytes_never_get_the_files_name(lab: Running, there: Path, via: str) -> None:
    stored(lab, FILE).write_bytes(b"spikez" * 1000)
    code, out, _ = lab.run("pull", SESSION, "--to", there, "--via", via)
    assert code == 5
    assert "E-2011" in out
    assert brought(there) == {REVISED: b"revised" * 500}


@pytest.mark.parametrize("via", ["http", "store"])
def test_a_file_that_is_gone_stops_no_other(lab: Running, there: Path, via: str) -> None:
    stored(lab, FILE).unlink()
    code, out, _ = lab.run("pull", SESSION, "--to", there, "--via", via)
    assert code == 5
    assert "E-2010" in out
    assert brought(there) == {REVISED: b"revised" * 500}


def test_what_cannot_be_verified_is_kept_and_said(lab: Running, there: Path) -> None:
    (record,) = [row for row in lab.alyx.tables.file_records(STORE) if row["relative_path"] == FILE]
    patch(lab, "datasets", record["dataset"], hash=SHA1)
    for _ in range(2):
        code, out, _err = lab.run("pull", FILE, "--to", there)
        assert code == 1
        assert "1 not verified" in out
        assert brought(there) == {FILE: SPIKES}


def test_of_a_file_without_md5_at_least_the_size_must_be_right(lab: Running, there: Path) -> None:
    (record,) = [row for row in lab.alyx.tables.file_records(STORE) if row["relative_path"] == FILE]
    patch(lab, "datasets", record["dataset"], hash=SHA1)
    stored(lab, FILE).write_bytes(b"short")
    assert lab.run("pull", FILE, "--to", there)[0] == 5
    assert brought(there) == {}


def test_what_alyx_does_not_announce_is_said_and_not_looked_for(lab: Running, there: Path) -> None:
    (record,) = [row for row in lab.alyx.tables.file_records(STORE) if row["relative_path"] == FILE]
    patch(lab, "files", record["id"], exists=False)
    code, out, _ = lab.run("pull", SESSION, "--to", there)
    assert code == 5
    assert "announces no copy" in out
    assert list(brought(there)) == [REVISED]


@pytest.mark.parametrize("path", [f"{SESSION}/alf/../../evil.npy", f"{SESSION}/alf/other.npy"])
def test_a_path_from_alyx_is_not_trusted(lab: Running, there: Path, path: str) -> None:
    (record,) = [row for row in lab.alyx.tables.file_records(STORE) if row["relative_path"] == FILE]
    patch(lab, "files", record["id"], relative_path=path)
    code, out, _ = lab.run("pull", SESSION, "--to", there)
    assert code == 6
    assert "E-3015" in out
    assert list(brought(there)) == [REVISED]
    assert not list(lab.folder.rglob("evil*"))


def test_a_refused_login_says_what_to_write_where(lab: Running, web: WebStore, there: Path) -> None:
    with WebStore(lab.store, prefix="cortexlab/Subjects/", user="ibl", password="s3cret") as closed:
        patch(lab, "data-repository", STORE, data_url=closed.url)
        code, out, _ = lab.run("pull", SESSION, "--to", there, "--via", "http")
        assert code == 4
        assert "[web]" in out

        server = closed.url.removesuffix("/cortexlab/Subjects/")
        told = f'[web]\nserver = "{server}"\nuser = "ibl"\npassword = "s3cret"\n'
        lab.config.write_text(told + lab.config.read_text())
        assert lab.run("pull", SESSION, "--to", there, "--via", "http")[0] == 0


def test_without_a_data_url_http_is_refused_in_words(lab: Running, there: Path) -> None:
    patch(lab, "data-repository", STORE, data_url=None)
    code, out, _ = lab.run("pull", SESSION, "--to", there, "--via", "http")
    assert code == 6
    assert "no data_url" in out
    assert brought(there) == {}


def test_a_disk_that_is_too_small_is_found_out_before_anything_moves(
    lab: Running, web: WebStore, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = shutil.disk_usage(lab.folder)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: few)
    code, _, err = lab.run("pull", SESSION, "--to", there, "--via", "http")
    assert code == 5
    assert "E-1008" in err
    assert web.asked == []
    assert not there.exists()


@pytest.mark.parametrize(
    "name",
    ["nonsense", f"{SUBJECT}/{DAY}/009", f"{SESSION}/alf/none.npy", "00000000-0000-4000-8000-000000000000"],
)
def test_a_name_that_fits_nothing_is_refused(lab: Running, there: Path, name: str) -> None:
    code, _, err = lab.run("pull", SESSION, name, "--to", there)
    assert code == 2
    assert "E-4008" in err
    assert not there.exists()


# ---- what is broken off


def break_off(lab: Running, web: WebStore, there: Path, *, kill: bool) -> int:
    """Stop a pull in the middle of its file; answers how many bytes of it were kept."""
    never = threading.Event()
    web.fault = lambda _asked: Fault(cut_after=4000, stall=never)
    child = lab.start("pull", FILE, "--to", there, "--via", "http", env=environment())
    deadline = time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            if any(one.stat().st_size >= 4000 for one in there.rglob("*.part")):
                break
            time.sleep(0.02)
        if kill:
            child.kill()
            child.communicate()
        else:
            code, _, err = lab.interrupt(child)
            assert (code, err) == (130, "interrupted\n")
    finally:
        never.set()
        web.fault = None
    assert not (there / FILE).exists()
    (partial,) = there.rglob("*.part")
    return partial.stat().st_size


@pytest.mark.parametrize("kill", [False, True], ids=["Ctrl-C", "kill -9"])
def test_what_was_broken_off_goes_on_where_it_stopped(
    lab: Running, web: WebStore, there: Path, kill: bool
) -> None:
    kept = break_off(lab, web, there, kill=kill)
    assert kept == 4000

    assert lab.run("pull", FILE, "--to", there, "--via", "http")[0] == 0

    assert web.asked[-1].headers["range"] == "bytes=4000-"
    assert brought(there) == {FILE: SPIKES}, "and nothing is left beside it"


def test_a_broken_off_start_that_is_another_version_is_read_anew(
    lab: Running, web: WebStore, there: Path
) -> None:
    break_off(lab, web, there, kill=True)
    (partial,) = there.rglob("*.part")
    partial.write_bytes(b"x" * 4000)

    assert lab.run("pull", FILE, "--to", there, "--via", "http")[0] == 0
    assert brought(there) == {FILE: SPIKES}


def test_what_http_left_the_stores_own_transport_takes_over(lab: Running, web: WebStore, there: Path) -> None:
    break_off(lab, web, there, kill=True)
    assert lab.run("pull", FILE, "--to", there, "--via", "store")[0] == 0
    assert brought(there) == {FILE: SPIKES}


def test_two_pulls_at_once_do_not_disturb_one_another(lab: Running, web: WebStore, there: Path) -> None:
    never = threading.Event()
    web.fault = lambda _asked: Fault(cut_after=4000, stall=never)
    first = lab.start("pull", FILE, "--to", there, "--via", "http", env=environment())
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not any(one.stat().st_size for one in there.rglob("*.part")):
        time.sleep(0.02)
    web.fault = None

    assert lab.run("pull", FILE, "--to", there, "--via", "http")[0] == 0

    never.set()
    out, _ = first.communicate(timeout=60)
    assert first.returncode == 0, out
    assert "1 present" in out
    assert brought(there) == {FILE: SPIKES}
