"""One cause is one line: in `status`, `held` and `report`; and every error says where to read more."""

from tests.cli.installed import Installed
from tests.ledger.build import LAB, SPIKES
from transfer.errors import EndpointUnreachable, StoreDenied
from transfer.ledger import endpoints, incidents
from transfer.status import Status

DENIED = StoreDenied("permission denied", to="alf")
AWAY = EndpointUnreachable("no answer", to="sftp://flatiron")
PAGE = "docs/errors.md#e-2007-store-denied"


def test_an_incident_is_one_line_everywhere(installed: Installed) -> None:
    installed.place.at(Status.PLANNED)
    incidents.note(installed.place.ledger, AWAY, LAB.store)
    for command in ("status", "report"):
        _, out, _ = installed.run(command)
        (line,) = [line for line in out.splitlines() if line.startswith("Incident")]
        assert f"Incident at {LAB.store}" in line
        assert "[E-2002]" in line
        assert "1 file waits" in line
        assert AWAY.page() in line
    (row,) = installed.json("held")
    assert (row["kind"], row["name"], row["hold"], row["files"]) == (
        "incident",
        LAB.store,
        "endpoint-unreachable",
        1,
    )
    assert [one["code"] for one in installed.json("report")["incidents"]] == ["E-2002"]


def test_a_paused_endpoint_is_listed_once(installed: Installed) -> None:
    incidents.note(installed.place.ledger, DENIED, LAB.store)
    endpoints.pause(installed.place.ledger, LAB.store, by="person:anne", reason="new disks")
    assert [row["kind"] for row in installed.json("held")] == ["endpoint"]


def test_a_monitor_hears_of_what_needs_a_person(installed: Installed) -> None:
    incidents.note(installed.place.ledger, DENIED, LAB.store)
    code, out, _ = installed.run("status", "--check")
    assert code == 1
    assert f"incident: E-2007 at {LAB.store}" in out


def test_a_held_file_says_where_to_read_more(installed: Installed) -> None:
    session = installed.place.at(Status.SENT)
    installed.place.hold(session, DENIED)
    (row,) = installed.json("held")
    assert row["page"] == PAGE
    _, out, _ = installed.run("why", SPIKES)
    assert f"More: {PAGE}" in out
    assert installed.json("why", SPIKES)["page"] == PAGE


def test_an_error_of_a_command_says_where_to_read_more(installed: Installed) -> None:
    _, _, told = installed.run("why", "nowhere")
    assert told.rstrip().endswith("More: docs/errors.md#e-4008-nothing-found")
