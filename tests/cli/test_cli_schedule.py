"""`schedule`, `rebuild` and a fleet's options of `worker` and `doctor`, as a person types them."""

import pytest

from tests.cli.running import LAB, STORE, SUBJECT, Running
from transfer.ledger import open_ledger
from transfer.ledger.glance import crew

ROUNDS = {
    f"scan {LAB}",
    f"mirror {LAB}",
    f"reconcile {LAB}",
    f"probe {STORE}",
    f"tidy {STORE}",
    f"prove {STORE}",
}


def configured(lab: Running, words: str) -> None:
    with lab.config.open("a") as config:
        config.write(words)


def test_every_round_is_listed_with_when_it_is_due(lab: Running) -> None:
    configured(lab, '\n[schedule]\ntimezone = "Europe/London"\ntidy = "0 3 * * *"\n')

    rows = {row["name"]: row for row in lab.json("schedule")}

    assert set(rows) == ROUNDS | {"sanity", "report", "sweep", f"sweep {LAB}"}
    assert rows[f"tidy {STORE}"]["when"] == "0 3 * * * (Europe/London)"
    assert {row["next"] for row in rows.values()} == {"now", "always"}, "nothing was ever walked"
    assert rows[f"scan {LAB}"]["queue"] != rows[f"tidy {STORE}"]["queue"]


def test_a_round_is_walked_by_hand_and_then_due_at_its_time(lab: Running) -> None:
    """Also although it is not due; what came of it is said, and stands in the list afterwards."""
    lab.session()
    code, out, _ = lab.run("schedule", "--run", f"scan {LAB}")
    assert (code, out) == (0, f"scan {LAB}: 0 sessions, 0 due\n") or out.startswith(f"scan {LAB}: 1 session")
    again = lab.json("schedule", "--run", f"scan {LAB}")
    assert (again["round"], again["walked"]) == (f"scan {LAB}", True)

    (row,) = [row for row in lab.json("schedule") if row["name"] == f"scan {LAB}"]
    assert row["last_outcome"] == again["outcome"]
    assert row["next"].endswith("Z")


@pytest.mark.parametrize("name", [f"probe {STORE}", f"tidy {STORE}", f"mirror {LAB}", "sanity", "report"])
def test_each_round_can_be_walked_by_hand(lab: Running, name: str) -> None:
    assert lab.json("schedule", "--run", name)["walked"] is True


def test_a_round_that_there_is_not_is_answered_with_those_there_are(lab: Running) -> None:
    code, _, err = lab.run("schedule", "--run", "dance")

    assert code == 2
    assert f"scan {LAB}" in err


def test_a_wrong_cron_expression_is_a_problem_of_the_config(lab: Running) -> None:
    configured(lab, '\n[labs.cortexlab.schedule]\nscan = "every now and then"\ntimezone = "Mars/Olympus"\n')
    code, _, err = lab.run("schedule")

    assert code == 3
    assert "labs.cortexlab.schedule.scan" in err
    assert "every 5 minutes" in err
    assert "Mars/Olympus" in err


def test_a_lost_ledger_is_rebuilt_and_nothing_is_sent_again(lab: Running) -> None:
    session = lab.session()
    assert lab.run("push", session)[0] == 0
    stored = {path: path.stat().st_mtime_ns for path in lab.store.rglob("*.npy")}
    for part in lab.folder.glob("ledger.sqlite*"):
        part.unlink()

    refused, _, err = lab.run("push", session)
    assert refused != 0
    assert "recover" in err
    (told,) = lab.json("rebuild", "--why", "the disk broke")
    assert (told["lab"], told["files"], told["left_out"]) == (LAB, 1, {})
    assert lab.run("push", session)[0] == 0

    assert {path: path.stat().st_mtime_ns for path in lab.store.rglob("*.npy")} == stored
    rows = lab.json("status", f"{SUBJECT}/2026-03-04/001")
    assert [row["status"] for row in rows] == ["recorded"]
    (again,) = lab.json("rebuild", "--why", "once more")
    assert (again["files"], again["known"]) == (0, 1)


@pytest.mark.parametrize("command", [("worker", "--embedded-beat"), ("doctor",), ("rebuild", "--why", "x")])
def test_a_lab_that_the_config_has_not_is_named_with_those_it_has(
    lab: Running, command: tuple[str, ...]
) -> None:
    options = ["--lab", "elsewhere"] if command[0] != "rebuild" else ["elsewhere"]
    code, _, err = lab.run(*command, *options)

    assert code == 2
    assert "elsewhere" in err
    assert LAB in err


def test_workers_of_two_versions_are_told_of_until_one_is_left(
    lab: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.run("status")
    ledger = open_ledger(f"sqlite:///{lab.ledger}")
    crew.here(ledger, version="0.1.0", hands=4, duty=LAB)
    monkeypatch.setattr(crew, "holder_name", lambda: "centre:1")
    crew.here(ledger, version="0.2.0", hands=4, duty="central")

    assert "versions 0.1.0, 0.2.0" in lab.run("status", "--check")[1]
    (row,) = [row for row in lab.json("doctor") if row["check"] == "workers"]
    assert "0.1.0, 0.2.0" in row["sentence"]

    crew.gone(ledger)
    assert "versions" not in lab.run("status", "--check")[1]
    (row,) = [row for row in lab.json("doctor") if row["check"] == "workers"]
    assert row["outcome"] == "note"
    assert "none takes central" in row["sentence"]
    ledger.engine.dispose()
