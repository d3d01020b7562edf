"""`report` is the morning page as text; `why` is one sentence."""

from tests.cli.installed import Installed
from tests.ledger.build import LAB, NOTES, SPIKES, VIDEO
from transfer.errors import StoreDenied, UnknownSession
from transfer.ledger import endpoints
from transfer.status import Status

DENIED = StoreDenied("the store refused to write", to="alf")


def test_a_new_installation_says_how_to_begin(installed: Installed) -> None:
    code, out, _ = installed.run("report")

    assert code == 0
    assert "Nothing has been seen yet." in out
    assert "alyx-transfer push SESSION_FOLDER" in out
    assert str(installed.root) in out


def test_the_page_tells_what_arrived_what_waits_and_what_to_do(installed: Installed) -> None:
    place = installed.place
    place.at(Status.RECORDED, "KS001", [SPIKES, VIDEO])
    sent = place.at(Status.SENT, "KS002", [SPIKES, VIDEO])
    place.hold(sent, DENIED)
    unknown = place.seen("KS003")
    place.hold_session(unknown, UnknownSession("Alyx has no such session", to="KS003"))
    place.discovered("KS004", [], unregistrable={NOTES: "no dataset type fits"})
    endpoints.pause(place.ledger, LAB.store, by="person:anne", reason="The RAID is rebuilt.")

    code, out, _ = installed.run("report")

    assert code == 0
    assert f"{LAB.name}: {LAB.repository} -> {LAB.store}" in out
    assert "arrived  2 files, 8.0 KiB in 24 h" in out
    assert "waiting  1 file," in out
    assert "held     1 file," in out
    assert "Held for a person: 3" in out
    assert f"{LAB.store} is paused by anne: The RAID is rebuilt. [alyx-transfer resume {LAB.store}]" in out
    assert UnknownSession.remedy in out
    assert f"{DENIED.sentence} [alyx-transfer release {place.item(sent).id}]" in out
    assert "KS004/2026-03-04/001: 1 file, for example notes from the rig.txt" in out


def test_the_page_for_programs(installed: Installed) -> None:
    installed.place.hold(installed.place.at(Status.SENT), DENIED)

    page = installed.json("report")

    assert [(row["lab"], row["held_files"]) for row in page["routes"]] == [(LAB.name, 1)]
    assert [row["hold"] for row in page["held"]["files"]] == ["store-denied"]
    assert (page["check"]["fine"], page["unregistrable"]) == (False, [])


def test_a_quiet_morning_says_so(installed: Installed) -> None:
    installed.place.at(Status.RECORDED)

    assert "Nothing is held." in installed.run("report")[1]


def test_why_says_where_a_file_is_and_what_comes_next(installed: Installed) -> None:
    installed.place.at(Status.PLANNED)
    file = installed.root / "SW_012/2026-03-04/001" / SPIKES

    code, out, _ = installed.run("why", str(file))

    assert code == 0
    assert "is planned (batch 1) and waits for a free worker: it is next." in out
    assert "Next (alyx-transfer, " in out
    assert "send it." in out


def test_why_for_programs(installed: Installed) -> None:
    installed.place.hold(installed.place.at(Status.SENT), DENIED)

    told = installed.json("why", "spikes.times.npy")

    assert (told["kind"], told["owner"], told["at"]) == ("file", "a person", None)
    assert DENIED.sentence in told["sentence"]
    assert installed.json("why", "SW_012/2026-03-04/001")["kind"] == "session"


def test_why_of_an_unknown_file_says_what_to_do(installed: Installed) -> None:
    code, out, err = installed.run("why", str(installed.root / "KS001/2026-03-04/001/alf/x.npy"))

    assert (code, out) == (2, "")
    assert "the next scan finds it once it is complete" in err


def test_a_name_that_a_terminal_would_obey_is_shown_harmless(installed: Installed) -> None:
    installed.place.discovered(files=["alf/\x1b[2Jspikes.times.npy"])

    _, out, _ = installed.run("why", "SW_012/2026-03-04/001")

    assert "\x1b" not in out
    assert "\\x1b[2J" in out
