"""What the API answers: the ledger's own values, page by page; failures in one form; health and metrics."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update
from structlog.testing import capture_logs

from dashboard.app import create
from tests.dashboard.entering import House, house
from tests.ledger.build import LAB, SPIKES, VIDEO
from transfer.errors import LedgerSchema, LedgerUnavailable, StoreDenied
from transfer.ledger import reports
from transfer.ledger.tables import sessions
from transfer.status import Status

DENIED = StoreDenied("the store refused to write", to="alf")
API = "/api/v1"
MARK = "a secret of the inside"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Five sessions: one arrived, one held, three on their way."""
    with house(tmp_path_factory.mktemp("home")) as made:
        made.place.at(Status.RECORDED, "KS001", [SPIKES, VIDEO])
        made.place.hold(made.place.at(Status.SENT, "KS002"), DENIED)
        for number in (3, 4, 5):
            made.place.at(Status.PLANNED, f"KS{number:03}")
        yield made


@pytest.fixture(scope="module")
def program(home: House) -> TestClient:
    return home.program("viewer")


def asked(client: TestClient, path: str, **parameters: Any) -> Any:
    answer = client.get(f"{API}{path}", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


# ---- the ledger's own values


def test_a_session_and_its_files_are_what_the_ledger_says(home: House, program: TestClient) -> None:
    one = asked(program, "/sessions/2")
    (row,) = reports.sessions(home.place.ledger, session=2)
    assert (one["session"]["session"], one["session"]["held"]) == (row.session, 1)
    assert "KS002" in one["why"]["sentence"]

    (file,) = asked(program, "/sessions/2/files", held=True)["rows"]
    assert (file["hold"], file["relative_path"]) == ("store-denied", SPIKES)


def test_a_file_is_told_with_why_and_its_way(program: TestClient) -> None:
    one = asked(program, "/files/1")

    assert one["file"]["status"] == "recorded"
    assert one["why"]["next_step"]
    assert [receipt["proof"] for receipt in one["timeline"]["receipts"]] == ["read back"]
    assert one["timeline"]["events"][-1]["became"] == "recorded"


def test_the_first_page_and_the_monitor_agree(program: TestClient) -> None:
    overview, check = asked(program, "/overview"), asked(program, "/check")

    assert check["fine"] is False
    assert overview["check"]["held_files"] == check["check"]["held_files"] == 1
    assert [one["hold"] for one in asked(program, "/held")["files"]] == ["store-denied"]


def test_who_asks_is_told(home: House, program: TestClient) -> None:
    assert asked(program, "/whoami")["role"] == "viewer"
    assert asked(home.person("anna"), "/whoami") == {"name": "anna", "role": "admin"}


# ---- pages


LISTS = ["/sessions", "/sessions/1/files", "/transfers", "/audit", "/held/files"]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_page_by_page_is_the_whole_list_once(home: House, path: str, limit: int) -> None:
    """Nothing twice, nothing left out, at every length of a page."""
    program = home.program("viewer")
    whole = asked(program, path, limit=200)
    assert whole["after"] is None

    rows, after = [], None
    while True:
        page = asked(program, path, limit=limit, **({"after": after} if after else {}))
        assert 0 < len(page["rows"]) <= limit or not whole["rows"]
        rows += page["rows"]
        after = page["after"]
        if after is None:
            break
    assert rows == whole["rows"]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("after", ["x", "-1", "1~", "2026-03-04~x", "9" * 40, "~", "١"])
def test_a_cursor_of_another_list_is_refused(program: TestClient, path: str, after: str) -> None:
    answer = program.get(f"{API}{path}", params={"after": after})
    assert (answer.status_code, answer.json()["code"]) == (404, "E-4008")


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "1e3", "9" * 30])
def test_a_page_has_one_to_two_hundred_rows(program: TestClient, limit: str) -> None:
    assert program.get(f"{API}/sessions", params={"limit": limit}).status_code == 422


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({}, [5, 4, 3, 2, 1]),
        ({"state": "held"}, [2]),
        ({"state": "arrived"}, [1]),
        ({"state": "moving"}, [5, 4, 3]),
        ({"subject": "KS00"}, [5, 4, 3, 2, 1]),
        ({"subject": "KS003"}, [3]),
        ({"subject": "%"}, []),
        ({"lab": LAB.name}, [5, 4, 3, 2, 1]),
        ({"lab": "nowhere"}, []),
        ({"since": "2026-03-05"}, []),
        ({"until": "2026-03-04", "since": "2026-03-04"}, [5, 4, 3, 2, 1]),
    ],
    ids=str,
)
def test_sessions_are_found_by_what_is_asked(
    program: TestClient, wanted: dict[str, str], numbers: list[int]
) -> None:
    assert [row["id"] for row in asked(program, "/sessions", **wanted)["rows"]] == numbers


# ---- failures


@pytest.mark.parametrize(
    "path", ["/sessions/99", "/sessions/99/files", "/files/99", "/transfers/99", "/endpoints/nowhere"]
)
def test_what_is_not_there_is_said(program: TestClient, path: str) -> None:
    answer = program.get(f"{API}{path}")
    told = answer.json()

    assert answer.status_code == told["status"] == 404
    assert told["code"] == "E-4008"
    assert told["remedy"] in told["detail"]
    assert told["type"] == "/errors/E-4008"


def test_everything_that_is_wrong_is_said_at_once(program: TestClient) -> None:
    answer = program.get(f"{API}/sessions", params={"limit": "x", "since": "soon", "state": "lost"})
    problems = answer.json()["problems"]
    assert [one.partition(":")[0] for one in problems] == ["query.since", "query.state", "query.limit"]


def test_a_password_in_a_wrong_place_does_not_come_back(home: House) -> None:
    program = home.program("operator")
    secret = "hunter2-hunter2"
    for body in ({"target": secret, "why": secret}, {"target": {"x": secret}}, [secret], secret):
        answer = program.post(f"{API}/actions/cancel", json=body)
        assert answer.status_code == 422
        assert secret not in answer.text


class Broken:
    """In place of a ledger: whatever is asked of it raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, _name: str) -> Any:
        raise self._error


def broken(home: House, error: Exception) -> TestClient:
    """A dashboard that lets everybody in and whose ledger fails like this."""
    told = home.board.settings.dashboard.model_copy(update={"login": "none"})
    everybody = home.board.settings.model_copy(update={"dashboard": told})
    ledger: Any = Broken(error)
    app = create(replace(home.board, settings=everybody, ledger=ledger))
    return TestClient(app, base_url="http://127.0.0.1:8420", raise_server_exceptions=False)


def test_a_ledger_that_is_away_is_said_with_when_to_try_again(home: House) -> None:
    client = broken(home, LedgerUnavailable("the ledger does not answer", to="postgresql://ledger"))

    for path in (f"{API}/sessions", f"{API}/overview", "/readyz", "/metrics"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (503, LedgerUnavailable.code), path
        assert int(answer.headers["Retry-After"]) > 0
    assert client.get("/healthz").json()["fine"] is True


def test_a_ledger_of_another_version_is_not_ready(home: House) -> None:
    client = broken(home, LedgerSchema("the schema is another", to="ledger"))
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, LedgerSchema.code)


def test_a_defect_of_ours_is_said_without_its_inside(home: House) -> None:
    """The traceback is in the log and nowhere else."""
    error = ZeroDivisionError(MARK)
    client = broken(home, error)

    with capture_logs() as logged:
        answer = client.get(f"{API}/sessions")

    assert (answer.status_code, answer.json()["code"]) == (500, "E-4009")
    assert MARK not in answer.text
    assert "Traceback" not in answer.text
    assert [one["exc_info"] for one in logged if one["log_level"] == "error"] == [error]


def test_a_person_gets_a_page_and_a_program_a_problem(home: House) -> None:
    client = broken(home, LedgerUnavailable("the ledger does not answer", to="ledger"))

    page = client.get("/sessions", headers={"Accept": "text/html"})
    assert page.headers["Content-Type"].startswith("text/html")
    assert LedgerUnavailable.code in page.text
    for path, accept in ((f"{API}/sessions", "text/html"), ("/sessions", "application/json")):
        answer = client.get(path, headers={"Accept": accept})
        assert answer.headers["Content-Type"] == "application/problem+json"


# ---- health and metrics


def values(program: TestClient) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every number, by its name and labels."""
    answer = program.get("/metrics")
    assert answer.status_code == 200, answer.text
    return {
        (sample.name.removeprefix("alyx_transfer_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def route(lab: str = LAB.name, source: str = LAB.repository) -> tuple[tuple[str, str], ...]:
    return (("lab", lab), ("source", source), ("target", LAB.store))


def test_health_needs_no_login_and_metrics_do(home: House) -> None:
    nobody = home.client()
    for path in ("/healthz", "/readyz"):
        assert nobody.get(path).json() == {"fine": True, "version": "1"}
    assert nobody.get("/metrics", headers={"Accept": "text/plain"}).status_code == 401


def test_the_metrics_are_the_ledgers(program: TestClient) -> None:
    found = values(program)

    assert found["files_arrived_total", route()] == 2
    assert found["bytes_arrived_total", route()] == 2 * 4096
    assert found["backlog_files", route()] == 4
    assert found["held_files", route()] == 1
    assert found["rows_without_owner", ()] == 0
    assert found["overdue_rounds", ()] == 0
    assert found["fine", ()] == 0
    assert found["breaker", (("endpoint", LAB.store), ("state", "closed"))] == 1
    assert found["workers", (("standing", "alive"),)] == 0


def test_a_scrape_offers_what_prometheus_asks_for(program: TestClient) -> None:
    answer = program.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)


@pytest.fixture
def strange(tmp_path: Path) -> Iterator[House]:
    """A house whose ledger gets names that its config does not have."""
    with house(tmp_path) as made:
        made.place.at(Status.SENT)
        yield made


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lab=NAMES, source=NAMES)
def test_labels_never_have_a_name_that_the_config_does_not_have(
    strange: House, lab: str, source: str
) -> None:
    """Whatever stands in the ledger: it counts as `other`, and the backlog is the same."""
    with strange.place.ledger.writing() as connection:
        connection.execute(update(sessions).values(lab=lab, source=source))

    found = values(strange.program("viewer"))

    known = {LAB.name, LAB.repository, LAB.store, "alyx", "other"}
    told = {value for _, labels in found for name, value in labels if name in ("lab", "source", "target")}
    assert told <= known
    assert sum(value for (name, _), value in found.items() if name == "backlog_files") == 1


def test_the_document_is_for_those_who_may_look(home: House, program: TestClient) -> None:
    assert home.client().get(f"{API}/openapi.json").status_code == 401
    assert json.loads(program.get(f"{API}/openapi.json").text)["openapi"].startswith("3.")
