"""`alyx-transfer recover`: the way out after a restore or a move."""

import shutil

from tests.cli.running import LAB_SERVER, Running


def epochs(lab: Running) -> list[int]:
    return [row.epoch for row in lab.rows("SELECT epoch FROM ledger")]


def test_a_ledger_from_an_old_backup_is_refused_until_a_person_recovers_it(lab: Running) -> None:
    """What arrived after the backup is adopted by its hash, not sent twice."""
    first = lab.session("001")
    lab.run("push", first)
    backup = lab.folder / "backup.sqlite"
    shutil.copy(lab.ledger, backup)
    second = lab.session("002")
    lab.run("push", second)
    shutil.copy(backup, lab.ledger)
    for file in lab.folder.glob("ledger.sqlite-*"):
        file.unlink()
    stored = [(path, path.stat().st_ino) for path in lab.stored()]

    code, _, err = lab.run("push", second)
    assert code == 6
    assert err.startswith("[E-4005] Alyx has seen event ")
    assert "alyx-transfer recover" in err

    code, out, err = lab.run("recover", "--why", "restored from Monday's backup")
    assert (code, err) == (0, "")
    assert out == (
        "A new epoch was drawn; 0 open files will be proved anew.\n"
        f"{LAB_SERVER}: Alyx now names this ledger.\n"
    )
    assert epochs(lab) == [2]
    assert lab.run("push", second)[0] == 0
    assert [(path, path.stat().st_ino) for path in lab.stored()] == stored


def test_it_is_kept_who_recovered_and_why(lab: Running) -> None:
    lab.run("recover", "--why", "the old machine is gone")

    (event,) = lab.rows("SELECT actor, why FROM events WHERE what = 'recovered'")
    assert (event.actor, event.why) == ("person:anne", "the old machine is gone")


def test_it_needs_a_reason(lab: Running) -> None:
    code, _, err = lab.run("recover")
    assert code == 2
    assert "Missing option '--why'" in err
    assert not lab.ledger.exists()


def test_without_alyx_it_says_so_and_may_be_repeated(lab: Running) -> None:
    lab.alyx.faults.add("*", "/tasks.*", times=50, status=503)
    code, out, err = lab.run("recover", "--why", "moved")
    assert code == 5
    assert "A new epoch was drawn" in out
    assert err.startswith("[E-300")

    lab.alyx.faults.clear()
    assert lab.run("recover", "--why", "moved")[0] == 0
    assert epochs(lab) == [3]
