"""`push --dry-run` as a report of what would stop a push: all of it at once, before any byte moves."""

import os
import subprocess

import pytest
from running import Running

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
    assert (
        "note: 2 names differ in case or Unicode form only: 'alf/Spikes.times.npy' and 'alf/spikes.times.npy'"
        in out
    )


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
