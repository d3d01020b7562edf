"""Independent proof: what is right has a receipt, what is wrong is withdrawn, what only readers miss is said."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from sandbox.web_store import Fault, WebStore
from tests.client import other_client
from tests.world import STORE, World, world
from transfer.errors import ConnectionLost, EndpointUnreachable, StoreDenied, StoredFileMissing
from transfer.ledger import audits
from transfer.ledger.standing import StandingCopy
from transfer.rounds import Rounds, Sample
from transfer.runner import Runner
from transfer.steps.audit import Audit, Audited, Finding, judge
from transfer.transports.base import Failed, Got
from transfer.transports.http.transport import HttpTransport
from transfer.transports.local import LocalTransport

SESSION = "KS023/2019-12-10/001"
SPIKES, LICKS = f"{SESSION}/alf/probe00/spikes.times.npy", f"{SESSION}/alf/#2024-01-01#/licks.times.npy"
WAIT_A_DAY = 24 * 3600


class Lab:
    """A world in which two files have arrived, and how they are audited."""

    def __init__(self, box: World, runner: Runner, web: WebStore) -> None:
        self.box, self.runner, self.web = box, runner, web

    def audit(self, *, web: bool = True, store: bool = True, root: Path | None = None) -> dict[str, Audited]:
        """Findings by the file's name."""
        audit = Audit(
            ledger=self.runner.ledger,
            catalog=self.runner.catalog,
            store=STORE,
            open_web=self.open_web if web else None,
            open_store=(lambda: LocalTransport(root or self.box.store)) if store else None,
        )
        copies = audits.least_proved(self.runner.ledger, STORE, limit=100)
        return {str(one.copy.path.name).split(".")[0]: one for one in audit.run(copies) if one.copy.path}

    def findings(self, **ways: Any) -> dict[str, Finding]:
        return {name: one.finding for name, one in self.audit(**ways).items()}

    def open_web(self) -> HttpTransport:
        return HttpTransport(self.web.url, connections=2, sleep=lambda _seconds: None)

    def announced(self) -> dict[str, bool]:
        return {"spikes": self.box.record(SPIKES)["exists"], "licks": self.box.record(LICKS)["exists"]}

    def receipts(self) -> list[str]:
        rows = self.box.rows(
            "SELECT copies.path, receipts.body FROM receipts JOIN copies ON copies.id = receipts.copy "
            "WHERE kind = 'audit' ORDER BY copies.path"
        )
        return [
            f"{Path(row.path).name.split('.')[0]} {'http' if 'http' in row.body else 'store'}" for row in rows
        ]

    def only(self, part: str, fault: Fault) -> None:
        """This is wrong with the readers' way to one file."""
        self.web.fault = lambda asked: fault if part in asked.path else None


@contextmanager
def arrived(root: Path) -> Iterator[Lab]:
    with world(root) as box, WebStore(box.store, prefix="cortexlab/Subjects/") as web:
        session = box.session()
        box.write(session, "alf/probe00/spikes.times.npy", b"spikes" * 100)
        box.write(session, "alf/#2024-01-01#/licks.times.npy", b"licks" * 100)
        runner = box.runner()
        box.see(runner, session)
        box.settle(runner)
        assert box.record(SPIKES)["exists"]
        yield Lab(box, runner, web)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with arrived(tmp_path) as made:
        yield made


ALL_RIGHT = {"spikes": Finding.RIGHT, "licks": Finding.RIGHT}
ANNOUNCED = {"spikes": True, "licks": True}


# ---- what is right


@pytest.mark.parametrize(("web", "via"), [(True, "http"), (False, "store")])
def test_what_is_right_has_a_receipt_that_says_how_it_was_read(lab: Lab, web: bool, via: str) -> None:
    assert lab.findings(web=web) == ALL_RIGHT
    assert lab.receipts() == [f"licks {via}", f"spikes {via}"]
    assert lab.announced() == ANNOUNCED
    assert lab.box.facts() == {}


# ---- what is wrong at the store


@pytest.mark.parametrize("ways", [{}, {"web": False}], ids=["over HTTP, then the store", "the store"])
@pytest.mark.parametrize("gone", [False, True], ids=["other bytes", "gone"])
def test_what_is_wrong_at_the_store_is_withdrawn_at_once_and_sent_again(
    lab: Lab, ways: dict[str, bool], gone: bool
) -> None:
    file = lab.box.stored(SPIKES)
    file.unlink() if gone else file.write_bytes(b"spikez" * 100)

    assert lab.findings(**ways) == {"spikes": Finding.DAMAGED, "licks": Finding.RIGHT}

    assert lab.announced() == {"spikes": False, "licks": True}
    lab.box.settle(lab.runner)
    assert lab.announced() == ANNOUNCED
    assert lab.box.lies() == []
    assert lab.findings(**ways) == ALL_RIGHT


def test_a_damaged_copy_is_sent_again_even_if_alyx_does_not_take_the_withdrawal(lab: Lab) -> None:
    lab.box.stored(SPIKES).write_bytes(b"")

    def refuse(record: object, exists: object, json: object = ...) -> None:
        raise EndpointUnreachable("away", to="Alyx")

    whole, lab.runner.catalog.announce = lab.runner.catalog.announce, refuse  # type: ignore[assignment, method-assign]
    found = lab.audit()["spikes"]
    lab.runner.catalog.announce = whole  # type: ignore[method-assign]

    assert found.finding is Finding.DAMAGED
    assert found.error is not None
    lab.box.settle(lab.runner)
    assert lab.box.lies() == []


# ---- what only readers miss


@pytest.mark.parametrize("status", [403, 404], ids=["no rights", "another folder"])
def test_what_readers_cannot_read_is_said_and_nothing_is_withdrawn(lab: Lab, status: int) -> None:
    lab.only("spikes", Fault(status=status))
    found = lab.audit()["spikes"]
    assert found.finding is Finding.UNREADABLE
    assert "web server" in found.remark
    assert lab.announced() == ANNOUNCED
    assert lab.box.facts() == {}


def test_other_bytes_for_readers_only_are_the_web_servers_fault(lab: Lab) -> None:
    lab.only("spikes", Fault(change=lambda body: b"x" * len(body)))
    assert lab.findings()["spikes"] is Finding.OTHER_FOR_READERS
    assert lab.announced() == ANNOUNCED


@pytest.mark.parametrize("status", [401, 500, 503])
def test_a_web_server_that_fails_proves_nothing(lab: Lab, status: int) -> None:
    lab.only("spikes", Fault(status=status))
    assert lab.findings()["spikes"] is Finding.NOT_READ
    assert lab.announced() == ANNOUNCED


def test_a_web_server_that_shows_another_folder_withdraws_nothing(lab: Lab) -> None:
    """A wrong data_url makes every file missing, or a portal's page; the store's own bytes decide."""
    for fault in (Fault(status=404), Fault(change=lambda _body: b"<html>log in</html>", said_length=19)):
        lab.web.fault = lambda _asked, fault=fault: fault  # type: ignore[misc]
        found = set(lab.findings().values())
        assert found <= {Finding.UNREADABLE, Finding.OTHER_FOR_READERS, Finding.NOT_READ}
        assert lab.announced() == ANNOUNCED


def test_a_store_that_is_away_proves_nothing(lab: Lab, tmp_path: Path) -> None:
    lab.only("spikes", Fault(status=404))
    assert lab.findings(root=tmp_path / "unmounted") == {"spikes": Finding.NOT_READ, "licks": Finding.RIGHT}
    assert set(lab.findings(web=False, root=tmp_path / "unmounted").values()) == {Finding.NOT_READ}
    assert lab.announced() == ANNOUNCED


# ---- where only HTTP reads the store


def test_over_http_alone_wrong_bytes_count_where_another_copy_was_right(lab: Lab) -> None:
    lab.box.stored(SPIKES).write_bytes(b"spikez" * 100)
    assert lab.findings(store=False) == {"spikes": Finding.DAMAGED, "licks": Finding.RIGHT}
    assert lab.announced() == {"spikes": False, "licks": True}


def test_over_http_alone_nothing_is_withdrawn_when_nothing_was_right(lab: Lab) -> None:
    for path in (SPIKES, LICKS):
        lab.box.stored(path).write_bytes(b"<html>log in</html>")
    assert set(lab.findings(store=False).values()) == {Finding.OTHER_FOR_READERS}
    assert lab.announced() == ANNOUNCED


def test_over_http_alone_a_missing_file_is_never_withdrawn(lab: Lab) -> None:
    lab.box.stored(SPIKES).unlink()
    assert lab.findings(store=False)["spikes"] is Finding.UNREADABLE
    assert lab.announced() == ANNOUNCED


# ---- what Alyx says, and who moves it


def test_what_alyx_no_longer_announces_is_proved_and_announced(lab: Lab) -> None:
    with other_client(lab.box) as other:
        other.patch("files", lab.box.record(SPIKES)["id"], exists=False)
    assert lab.findings()["spikes"] is Finding.ALYX_DIFFERS
    lab.box.settle(lab.runner)
    assert lab.announced() == ANNOUNCED


def test_another_version_registered_since_is_reconciles_business(lab: Lab) -> None:
    """Whatever the store holds: the hash in Alyx is not the one we proved, so three hashes decide."""
    with other_client(lab.box) as other:
        other.patch("datasets", lab.box.dataset(SPIKES)["id"], hash="0" * 32)
    assert lab.findings()["spikes"] is Finding.ALYX_DIFFERS
    assert lab.announced()["spikes"] is False


def test_a_copy_that_moves_meanwhile_is_left_to_its_owner(lab: Lab) -> None:
    lab.box.stored(SPIKES).write_bytes(b"")
    before = lab.web.fault

    def reopen(_asked: object) -> None:
        lab.web.fault = before
        (copy,) = [
            one
            for one in audits.least_proved(lab.runner.ledger, STORE, limit=9)
            if one.path is not None and "spikes" in one.path.name
        ]
        from transfer.ledger import standing
        from transfer.status import Condition

        standing.reopen(lab.runner.ledger, [copy], condition=Condition.EXPECTED, why="somebody was faster")

    lab.web.fault = reopen
    assert lab.findings()["spikes"] is Finding.MOVING


# ---- the judgement


COPY = StandingCopy(
    id=1, session=1, dataset_uuid=None, record_uuid=None, path=None, md5="a", size=1, owned=False
)  # type: ignore[arg-type]
SEEN = st.sampled_from(
    [
        Got(key=1, size=1, md5="a"),
        Got(key=1, size=1, md5="b"),
        *(Failed(key=1, error=kind("x")) for kind in (StoredFileMissing, StoreDenied, ConnectionLost)),
    ]
)


@given(first=SEEN, second=st.none() | SEEN, over_http=st.booleans(), trusted=st.booleans())
def test_nothing_is_withdrawn_that_the_store_itself_shows_rightly(
    first: Got | Failed, second: Got | Failed | None, over_http: bool, trusted: bool
) -> None:
    """And nothing is right that nobody read rightly."""
    found = judge(COPY, first, second if over_http else None, over_http=over_http, trusted=trusted)
    right = Got(key=1, size=1, md5="a")
    if found is Finding.RIGHT:
        assert first == right
    if found is Finding.DAMAGED:
        assert first != right
        witness = first if not over_http or second is None else second
        assert isinstance(witness, Got) or isinstance(witness.error, StoredFileMissing)
        assert witness != right
        if over_http and second is None:
            assert trusted
            assert isinstance(first, Got)


# ---- the round


def rounds(lab: Lab, *, files: int = 20, web: bool = True) -> Rounds:
    sample = Sample(
        files=files,
        web=lambda _store: lab.open_web if web else None,
        own=lambda _store: lambda: LocalTransport(lab.box.store),
    )
    return Rounds(runner=lab.runner, version="test", sample=sample)


def test_the_round_proves_a_sample_and_says_what_it_found(lab: Lab) -> None:
    lab.box.stored(SPIKES).write_bytes(b"")
    with capture_logs() as logged:
        assert rounds(lab).prove(STORE) == "damaged: 1, right: 1"
    (told,) = [one for one in logged if one["log_level"] == "warning"]
    assert told["event"] == "copy_not_right"
    assert "sends it again" in told["because"]
    assert lab.announced() == {"spikes": False, "licks": True}


def test_a_web_server_that_is_away_is_said_once(lab: Lab) -> None:
    lab.web.fault = lambda _asked: Fault(status=503)
    with capture_logs() as logged:
        assert rounds(lab).prove(STORE) == "not read: 2"
    assert [(one["event"], one["files"]) for one in logged if one["log_level"] == "warning"] == [
        ("copies_not_read", 2)
    ]


def test_what_was_proved_longest_ago_is_a_candidate_first(lab: Lab) -> None:
    ledger = lab.runner.ledger
    (first,) = audits.least_proved(ledger, STORE, limit=1)
    lab.box.clock.advance(WAIT_A_DAY)
    audits.passed(ledger, [first], via="http")
    (second,) = audits.least_proved(ledger, STORE, limit=1)
    assert first.id != second.id
    lab.box.clock.advance(WAIT_A_DAY)
    audits.passed(ledger, [second], via="http")
    assert audits.least_proved(ledger, STORE, limit=1) == [first]


@pytest.mark.parametrize(("files", "web"), [(0, True), (20, False)], ids=["proof_files = 0", "no data_url"])
def test_the_round_is_off_where_it_cannot_be(lab: Lab, files: int, web: bool) -> None:
    assert "not proved over HTTP" in str(rounds(lab, files=files, web=web).prove(STORE))
    assert lab.web.asked == []
