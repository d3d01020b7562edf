"""How many requests it takes: Alyx's throttle makes every one of them precious."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.world import STORE, World, world

SESSIONS, FILES = 10, 200


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr("os.fsync", lambda _file: None)  # requests are counted here, not disks
    with world(tmp_path) as made:
        yield made


def push(box: World, *, sessions: int, files: int) -> Counter[tuple[str, str]]:
    """New sessions of tiny files, from discovery to the end; answers the requests it took."""
    runner = box.runner()
    for number in range(1, sessions + 1):
        session = box.session(number)
        for file in range(files):
            box.write(session, f"alf/spikes.times.{file:03d}.npy", b"%d of %d" % (file, number))
        box.see(runner, session)
    box.alyx.requests.reset()
    box.settle(runner, rounds=10 * sessions)
    records = box.alyx.file_records(STORE)
    assert len(records) == sessions * files
    assert all(record["exists"] for record in records)
    return box.alyx.requests.counter()


def method(counted: Counter[tuple[str, str]], wanted: str) -> int:
    return sum(n for (name, path), n in counted.items() if name == wanted and path != "/auth-token")


@pytest.mark.parametrize("incumbent", [False, True])
def test_two_hundred_new_files_take_four_registrations_and_one_patch_each(
    box: World, incumbent: bool
) -> None:
    """Beside an incumbent a second PATCH sets the lock it honours, in the same request as nothing else."""
    box.lab = replace(box.lab, incumbent=incumbent)
    counted = push(box, sessions=1, files=200)
    assert counted["POST", "/register-file"] == 4
    assert counted["PATCH", "/files/<id>"] == (400 if incumbent else 200)
    assert method(counted, "POST") == 4
    assert method(counted, "PATCH") == counted["PATCH", "/files/<id>"]
    assert method(counted, "GET") - 1 <= 0.1 * 200, counted


def test_two_thousand_new_files_stay_within_the_bar(box: World) -> None:
    """At most one registration per 50 files, one PATCH a file, one list a session and a tenth of a GET a file."""
    counted = push(box, sessions=SESSIONS, files=FILES)
    number = SESSIONS * FILES
    assert counted["POST", "/register-file"] <= number / 50 + SESSIONS
    assert counted["PATCH", "/files/<id>"] == number
    assert method(counted, "PATCH") == number
    assert method(counted, "GET") - SESSIONS <= 0.1 * number, counted
