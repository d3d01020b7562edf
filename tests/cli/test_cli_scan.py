"""`alyx-transfer scan`: sessions are found now instead of at the next round."""

import pytest

from config import doorbell
from config.queues import of_lab
from config.rounds import NOW, SCAN
from tests.cli.running import LAB, Running
from transfer.ledger import open_ledger
from transfer.ledger.glance import crew
from transfer.ledger.jobs import last_run

FLAG = "raw_session.flag"


def test_two_looks_make_a_flagged_session_due_and_nothing_moves(lab: Running) -> None:
    (lab.session() / FLAG).touch()

    assert lab.json("scan") == {"labs": {LAB: "1 sessions, 0 due"}, "due": 0, "rung": False}
    code, out, err = lab.run("scan", LAB)

    assert (code, err) == (0, "")
    assert out == (
        f"{LAB}: 1 sessions, 1 due\n"
        "No worker could be rung; one that runs finds them by itself within a minute.\n"
    )
    assert lab.stored() == []


def test_workers_are_rung_for_each_session(lab: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    rings: list[tuple[object, ...]] = []

    def ring(*words: object, queue: str) -> bool:
        rings.append(words)
        return True

    monkeypatch.setattr(doorbell, "ring", ring)
    with lab.config.open("a") as config:
        config.write('\n[broker]\nurl = "redis://127.0.0.1:1/0"\n')
    for number in ("001", "002"):
        (lab.session(number) / FLAG).touch()
    lab.run("scan")

    assert lab.json("scan") == {"labs": {LAB: "2 sessions, 2 due"}, "due": 2, "rung": True}
    assert rings == [("redis://127.0.0.1:1/0", "alyx_transfer.visit_session", session) for session in (1, 2)]


def test_a_lab_whose_folder_is_away_keeps_no_other_lab_from_being_scanned(lab: Running) -> None:
    with lab.config.open("a") as config:
        config.write(
            '\n[labs.hoferlab]\nrepository = "hoferlab_SR"\nroot = "/nowhere/at/all"\n'
            'work = "disk"\nstore = "flatiron_cortexlab"\n'
        )
    code, out, err = lab.run("scan")

    assert code == 5
    assert err.startswith("[E-1005] the lab's data folder is not there: /nowhere/at/all. ")
    assert out == f"{LAB}: 0 sessions, 0 due\n"


def test_a_lab_whose_folder_is_on_another_machine_is_looked_at_there(
    lab: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typed at the centre; the round's own outcome in the ledger stays what the lab's worker said."""
    rings: list[tuple[object, ...]] = []

    def ring(*words: object, queue: str) -> bool:
        rings.append((*words, queue))
        return True

    monkeypatch.setattr(doorbell, "ring", ring)
    with lab.config.open("a") as config:
        config.write(
            '\n[labs.hoferlab]\nrepository = "hoferlab_SR"\nroot = "/nowhere/at/all"\n'
            'work = "disk"\nstore = "flatiron_cortexlab"\n'
        )
    ledger = open_ledger(f"sqlite:///{lab.ledger}")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(crew.socket, "gethostname", lambda: "rig7")
        crew.here(ledger, version="1", hands=4, duty="hoferlab")

    assert lab.json("scan")["labs"] == {
        LAB: "0 sessions, 0 due",
        "hoferlab": "the worker on rig7 was asked to look",
    }
    assert [ring[1:] for ring in rings] == [(SCAN, "hoferlab", NOW, of_lab("hoferlab"))]
    assert last_run(ledger, "scan hoferlab") is None
    ledger.engine.dispose()
