"""`push --dry-run` as a report of what would stop a push: all of it at once, before any byte moves."""

import os
import subprocess
import threading

import pytest
from running import Running, environment

from cli.failures import Exit
from transfer.paths import is_leftover

NAME = "alf/spikes.times.npy"


def test_a_plan_without_obstacles_names_none(lab: Running) -> None:
    """Where the store says how much space it has; where it does not, that is a note."""
    session = lab.session()
    (plan,) = lab.json("push", "--dry-run", session)
    assert (plan["problems"], plan["notes"]) == (
        [],
        ["flatiron_cortexlab does not say how much space is free"],
    )
    lab.keep_on_disk(lab.store)
    (plan,) = lab.json("push", "--dry-run", session)
    assert (plan["problems"], plan["notes"]) == ([], [])


def test_names_that_one_disk_takes_for_the_same_are_told(lab: Running) -> None:
    session = lab.session()
    lab.write(session, "alf/Spikes.times.npy", b"its twin")
    code, out, _ = lab.run("push", "--dry-run", session)
    assert code == 0
    folder = "KS055/2026-03-04/001/alf"
    twins = f"'{folder}/Spikes.times.npy' and '{folder}/spikes.times.npy'"
    assert f"note: 2 names differ in case or Unicode form only: {twins}" in out


def test_files_that_cannot_move_are_problems_by_name_and_decide_the_exit_code(lab: Running) -> None:
    """As after a push.  Of many of a kind a few are said once more at the end, the others are in the list."""
    session = lab.session()
    for number in range(7):
        (session / f"alf/link{number}.npy").symlink_to("spikes.times.npy")
    code, out, err = lab.run("push", "--dry-run", session)
    assert code == Exit.HELD
    assert out.count("stays: alf/link") == 7
    assert err.count("[E-1007] this is a symbolic link") == 5
    assert "[E-1007] and 2 more of this kind." in err
    (plan,) = lab.json("push", "--dry-run", session)
    assert len(plan["problems"]) == 7
    assert lab.run("push", session)[0] == code


def test_what_is_held_decides_the_exit_code_too(lab: Running) -> None:
    session = lab.session(known=False)
    lab.run("push", session)
    lab.session()
    assert lab.run("push", "--dry-run", session)[0] == Exit.HELD


def test_the_room_for_what_waits_already_is_not_given_away(lab: Running) -> None:
    """A session that a worker is to move counts, and not the one that is asked about."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(lab.store)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small tmpfs can be mounted by root only")
    lab.keep_on_disk(lab.store)
    try:
        waiting, other = lab.session(), lab.session("002")
        lab.write(waiting, NAME, os.urandom(2_000_000))
        lab.write(other, NAME, b"small")
        assert lab.run("push", waiting)[0] != 0
        code, _, err = lab.run("push", "--dry-run", waiting)
        assert code != 0
        assert "wait to be sent" not in err
        code, _, err = lab.run("push", "--dry-run", other)
        assert code != 0
        assert "2000000 of them for files that wait to be sent" in err
    finally:
        subprocess.run(["umount", "-l", str(lab.store)], check=True)


def test_every_problem_is_told_at_once_and_the_plan_all_the_same(lab: Running) -> None:
    """A session that Alyx does not know, and a store that is away."""
    known, unknown = lab.session(), lab.session("009", known=False)
    lab.write(known, "alf/notes.xyz", b"x")
    lab.store.rename(lab.store.with_name("away"))

    code, out, err = lab.run("push", "--dry-run", known, unknown)

    assert code != 0
    assert "would move" in out
    assert "stays: alf/notes.xyz" in out
    assert "[E-3007]" in err
    assert "[E-2002]" in err
    assert lab.stored() == []
    assert not lab.ledger.exists()


def test_a_store_that_is_too_full_for_all_of_it_is_told(lab: Running) -> None:
    """Each session would fit, both do not."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(lab.store)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small tmpfs can be mounted by root only")
    lab.keep_on_disk(lab.store)
    try:
        one, other = lab.session(), lab.session("002")
        lab.write(one, NAME, os.urandom(700_000))
        lab.write(other, NAME, os.urandom(700_000))
        assert lab.run("push", "--dry-run", one)[0] == 0
        code, _, err = lab.run("push", "--dry-run", one, other)
        assert code != 0
        assert "[E-2006] 1400000 bytes are to be sent and 1048576 are free" in err
    finally:
        subprocess.run(["umount", "-l", str(lab.store)], check=True)


def test_ctrl_c_while_a_store_is_tried_out_leaves_only_what_tidy_knows(lab: Running) -> None:
    """The server opens the small file after we are gone; the next push tries again, and sends."""
    session = lab.session()
    reached, released = threading.Event(), threading.Event()

    def hang(asked: str, path: str) -> None:
        if asked == "open" and not reached.is_set():
            reached.set()
            released.wait(3)

    lab.before = hang
    with lab.start("push", session, env=environment()) as child:
        assert reached.wait(60)
        ended = lab.interrupt(child)
    released.set()

    assert ended == (130, "", "interrupted\n")
    assert lab.leases() == []
    lab.before = None
    assert lab.run("push", session)[0] == 0
    left = [path for path in lab.stored() if is_leftover(path.name)]
    assert [path.stat().st_size for path in left] == [0] * len(left)
    assert len(lab.stored()) - len(left) == len(lab.announced()) == 1
