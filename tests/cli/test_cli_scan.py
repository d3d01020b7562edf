"""`alyx-transfer scan`: sessions are found now instead of at the next round."""

import pytest

from config import doorbell
from tests.cli.running import LAB, Running

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
