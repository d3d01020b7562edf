"""The round of notices on a real ledger, with real messages to servers on loopback."""

import io
import logging
import threading
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from functools import partial
from pathlib import Path

import pytest
import structlog
from sqlalchemy import insert

from config import logs
from config import messenger as messengers
from config import notices as config_notices
from config.messenger import messenger
from config.sections import Logs
from tests import receivers
from tests.ledger.build import LAB, NOON, Place
from tests.receivers import PASSWORD, TOKEN, Web
from transfer import secrecy
from transfer.errors import (
    LoginRefused,
    NoticeNotSent,
    NoticeTargetsWrong,
    RegisteredHashDiffers,
    SourceUnreadable,
)
from transfer.ledger import actions, endpoints, incidents, notices
from transfer.ledger.concerns import concerns
from transfer.ledger.finding import Target as Named
from transfer.ledger.tables import workers
from transfer.ledger.transactions import Transactions
from transfer.notices import Rules
from transfer.notifying import Notifier, notify, try_all
from transfer.status import Status

UNREADABLE = SourceUnreadable("it cannot be read", to="a.npy")
LABS = {LAB.repository: LAB.name}
BEFORE_REMINDER = Rules(at=time(9))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    yield made
    made.close()


@pytest.fixture
def web() -> Iterator[Web]:
    with receivers.web() as receiver:
        yield receiver


@pytest.fixture
def file(tmp_path: Path, web: Web) -> Path:
    """The file of targets, with one of them."""
    made = tmp_path / "targets"
    made.write_text(f"# who\n\n{web.url}\n")
    made.chmod(0o600)
    return made


@pytest.fixture
def whole_log() -> Iterator[io.StringIO]:
    """Every record of this process at every level, as our log writes it."""
    root = logging.getLogger()
    handlers, level, out = root.handlers[:], root.level, io.StringIO()
    logs.configure(Logs(level="debug", format="json"), stream=out)
    yield out
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def walk(place: Place, file: Path, rules: Rules = BEFORE_REMINDER) -> str:
    notifier = Notifier(messenger=partial(messenger, file), rules=rules)
    return notify(place.ledger, notifier, labs=LABS)


def held(place: Place, subject: str = "SW_012") -> int:
    session = place.at(Status.PLANNED, subject)
    place.hold(session, UNREADABLE)
    return session


# ---- what stands


def said(place: Place, **more: timedelta) -> list[str]:
    return sorted(one.sentence for one in concerns(place.ledger, labs=LABS, **more))


def test_a_ledger_in_order_has_nothing_to_tell(place: Place) -> None:
    place.at(Status.RECORDED)
    place.at(Status.PLANNED, "SW_013")

    assert said(place) == []


def test_held_files_of_one_cause_are_one_concern(place: Place) -> None:
    for number in range(5):
        held(place, f"SW_{number:03}")
    other = place.at(Status.PLANNED, "KS055")
    place.hold(other, RegisteredHashDiffers("other bytes", to="b.npy"))

    found = {one.key: one for one in concerns(place.ledger, labs=LABS)}

    assert {one.files for one in found.values()} == {5, 1}
    five = found[f"held file {LAB.name} source-unreadable"]
    assert five.sentence.startswith("5 files of cortexlab are held: ")
    assert five.do == SourceUnreadable.remedy
    assert five.lab == LAB.name


def test_what_a_person_cancelled_is_no_concern(place: Place) -> None:
    session = place.at(Status.PLANNED)
    actions.cancel(place.ledger, Named(kind="session", name="SW_012", id=session), why="not now")

    assert said(place) == []


def test_a_held_session_and_a_file_that_cannot_move_are_told(place: Place) -> None:
    session = place.seen()
    place.hold_session(session, UNREADABLE)
    place.discovered("KS055", unregistrable={"alf/link.npy": "[E-1007] a link", "notes.txt": "no format"})

    assert [words.partition(":")[0] for words in said(place)] == [
        "1 file of cortexlab cannot be moved",
        "1 session of cortexlab is held",
    ]


def test_a_paused_place_is_told_once_and_not_its_incident_as_well(place: Place) -> None:
    error = LoginRefused("login refused", to="sftp://store")
    incidents.note(place.ledger, error, LAB.store)
    assert [words.partition(" for one cause")[0] for words in said(place)] == [f"0 files at {LAB.store}"]

    endpoints.pause(place.ledger, LAB.store, by="alyx-transfer", reason=error.sentence)
    assert said(place) == [f"{LAB.store} is paused by alyx-transfer: {error.sentence}"]


def test_what_waits_for_too_long_is_told_and_that_nothing_arrived(place: Place) -> None:
    place.at(Status.PLANNED)
    place.clock.forward(hours=25)

    late = [words for words in said(place) if "too long" in words]
    assert late == [
        f"1 file from {LAB.repository} to {LAB.store} waits, the oldest for too long. "
        "In the last 24 hours nothing arrived."
    ]
    assert [words for words in said(place, old_after=timedelta(hours=26)) if "too long" in words] == []


def test_a_machine_is_silent_when_none_of_its_workers_lives(place: Place) -> None:
    def worker(holder: str, host: str, seen: datetime, stopped: datetime | None = None) -> dict[str, object]:
        return {
            "holder": holder,
            "host": host,
            "pid": 1,
            "version": "1",
            "hands": 2,
            "started_at": NOON - timedelta(days=1),
            "seen_at": seen,
            "stopped_at": stopped,
        }

    old = NOON - timedelta(hours=2)
    with place.ledger.writing() as connection:
        connection.execute(
            insert(workers),
            [
                worker("a", "rig-1", old),  # killed
                worker("b", "rig-2", old),
                worker("c", "rig-2", NOON),  # started again
                worker("d", "rig-3", old, old),  # stopped of its own will
                worker("e", "rig-4", NOON - timedelta(days=8)),  # long forgotten
            ],
        )

    assert [one.key for one in concerns(place.ledger)] == ["silent rig-1"]


# ---- the round


def test_held_files_are_told_once_and_that_they_went_on(place: Place, web: Web, file: Path) -> None:
    session = held(place)

    assert walk(place, file) == "messages sent: 1"
    assert walk(place, file) == "messages sent: 0"
    assert "1 file of cortexlab is held" in web.bodies[0]
    assert SourceUnreadable.remedy in web.bodies[0]

    actions.release(place.ledger, Named(kind="session", name="SW_012", id=session))
    walk(place, file)
    place.clock.forward(hours=1)
    walk(place, file)
    assert len(web.got) == 2
    assert "OVER\n- 1 file of cortexlab is held" in web.bodies[1]


def test_an_installation_in_order_sends_nothing(place: Place, web: Web, file: Path) -> None:
    place.at(Status.RECORDED)

    assert walk(place, file) == "messages sent: 0"
    assert web.got == []


def test_each_target_hears_of_its_labs(place: Place, web: Web, file: Path) -> None:
    held(place)
    with receivers.web() as other:
        file.write_text(f"hoferlab {web.url}\ncortexlab,hoferlab {other.url}\n")
        walk(place, file)

        assert web.got == []
        assert len(other.got) == 1


def test_a_silenced_lab_is_told_of_when_the_silence_ends(place: Place, web: Web, file: Path) -> None:
    held(place)
    notices.silence(place.ledger, LAB.name, until=NOON + timedelta(hours=2), why="moving")
    walk(place, file)
    assert web.got == []

    place.clock.forward(hours=2)
    walk(place, file)
    assert len(web.got) == 1


def test_a_silence_has_a_name_and_a_reason_in_the_audit_log(place: Place) -> None:
    anne = place.ledger.acting_as("person:anne")

    notices.silence(anne, LAB.name, until=None, why="the rig is moved")
    assert [(one.by, one.why) for one in notices.silenced(place.ledger)] == [
        ("person:anne", "the rig is moved")
    ]
    assert notices.unsilence(anne, LAB.name, why="it stands again")
    assert not notices.unsilence(anne, LAB.name)

    assert [
        (row.what, row.subject, row.subject_id, row.why) for row in place.events(actor="person:anne")
    ] == [
        ("silenced", "lab", LAB.name, "the rig is moved"),
        ("silence ended", "lab", LAB.name, "it stands again"),
    ]


def test_it_goes_alike_on_postgresql(postgres_url: str, web: Web, file: Path) -> None:
    place = Place(postgres_url)
    held(place)
    place.hold_session(place.seen("KS055"), UNREADABLE)
    place.discovered("KS056", unregistrable={"alf/link.npy": "[E-1007] a link"})
    place.at(Status.PLANNED, "KS057")
    endpoints.pause(place.ledger, LAB.store, by="person:anne", reason="upgrade")
    place.clock.forward(hours=25)

    assert walk(place, file) == "messages sent: 1"
    assert walk(place, file) == "messages sent: 0"
    assert web.got[0]["title"] == "alyx-transfer: 6 new"

    notices.silence(place.ledger, LAB.name, until=None, why="moving")
    notices.silence(place.ledger, LAB.name, until=None, why="still moving")
    assert [one.why for one in notices.silenced(place.ledger)] == ["still moving"]
    place.close()


# ---- what cannot be sent


def test_a_failed_message_is_sent_with_the_next_round_and_its_failing_is_seen(
    place: Place, web: Web, file: Path
) -> None:
    held(place)
    web.status = 500

    assert walk(place, file) == "messages sent: 0, not sent: 1"
    (failing,) = notices.failing(place.ledger)
    assert failing.failures == 1
    assert "500" in failing.why

    web.status = 200
    assert walk(place, file) == "messages sent: 1"
    assert notices.failing(place.ledger) == []
    assert [row.what for row in place.events() if row.subject == "notice"] == ["not told", "told"]


def test_a_target_that_fails_for_long_is_tried_once_an_hour_and_misses_nothing(
    place: Place, web: Web, file: Path
) -> None:
    held(place)
    web.status = 503
    for _ in range(24 * 6):
        walk(place, file)
        place.clock.forward(minutes=10)
    assert len(web.asked) == 3 + 23
    assert [row.what for row in place.events() if row.subject == "notice"] == ["not told"]

    web.status = 200
    place.clock.forward(hours=1)
    walk(place, file)
    assert "1 file of cortexlab is held" in web.bodies[0]


def test_a_target_that_fails_keeps_no_other_from_being_told(place: Place, web: Web, file: Path) -> None:
    held(place)
    with receivers.web() as broken:
        broken.status = 404
        file.write_text(f"{broken.url}\n{web.url}\n")

        assert walk(place, file) == "messages sent: 1, not sent: 1"
        assert walk(place, file) == "messages sent: 0, not sent: 1"
    assert len(web.got) == 1


def test_a_server_that_hangs_does_not_hold_the_round(
    place: Place, web: Web, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messengers, "PATIENCE", 0.3)
    held(place)
    web.hang = threading.Event()

    assert walk(place, file) == "messages sent: 0, not sent: 1"
    assert (
        "no answer" in notices.failing(place.ledger)[0].why
        or "did not finish" in notices.failing(place.ledger)[0].why
    )


def test_a_process_killed_between_sending_and_writing_repeats_one_message(
    place: Place, web: Web, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And only to the target it was at."""
    held(place)

    class Killed(BaseException):
        pass

    with receivers.web() as other, monkeypatch.context() as patch:
        file.write_text(f"{other.url}\n{web.url}\n")

        def die(self: Transactions) -> None:
            if web.got:
                raise Killed

        patch.setattr(Transactions, "unguarded", die_when(Transactions.unguarded, die))
        with pytest.raises(Killed):
            walk(place, file)
        patch.undo()
        walk(place, file)
        walk(place, file)

        assert (len(other.got), len(web.got)) == (1, 2)


def die_when(real: object, die: object) -> object:
    """`real`, but for what `die` raises first."""

    def called(self: Transactions, *args: object) -> object:
        die(self)  # type: ignore[operator]
        return real(self, *args)  # type: ignore[operator]

    return called


def test_a_redirect_does_not_carry_the_login_elsewhere(place: Place, web: Web, file: Path) -> None:
    held(place)
    with receivers.web() as elsewhere:
        web.status, web.elsewhere = 307, f"http://127.0.0.1:{elsewhere.port}/"
        walk(place, file)

        assert elsewhere.asked == []


# ---- the file of targets


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("nonsense", "line 2 does not end with an address"),
        (f"nosuchthing://{PASSWORD}@host", "line 2 is no address that Apprise knows"),
        (f"tgram://{PASSWORD}", "line 2 is no address that Apprise knows"),
    ],
)
def test_a_line_that_is_no_address_is_named_by_its_number_and_not_quoted(
    place: Place, file: Path, line: str, what: str
) -> None:
    file.write_text(f"# one\n{line}\n")

    with pytest.raises(NoticeTargetsWrong) as raised:
        walk(place, file)

    assert what in raised.value.sentence
    assert PASSWORD not in raised.value.sentence
    assert "nonsense" not in raised.value.sentence


def test_a_file_that_is_gone_says_so(place: Place, tmp_path: Path) -> None:
    with pytest.raises(NoticeTargetsWrong, match="cannot be read"):
        walk(place, tmp_path / "gone")


def test_targets_of_one_server_keep_their_names_apart_and_over_time(file: Path, web: Web) -> None:
    file.write_text(f"{web.url}a\n{web.url}b\n")

    first, second = messenger(file).targets
    assert first.id != second.id
    assert second.name == f"{first.name} (2)"
    assert list(messenger(file).targets) == [first, second]


def test_no_part_of_an_address_is_said_anywhere(
    place: Place,
    web: Web,
    file: Path,
    whole_log: io.StringIO,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither by us nor by the libraries, at any level; nor does it stand in the ledger.

    Also where nothing is masked by its value: no secret is remembered, as for one that is too short.
    """
    monkeypatch.setattr(secrecy, "remember", lambda _secret: None)
    monkeypatch.setattr(config_notices, "remember", lambda _secret: None)
    monkeypatch.setattr(messengers, "remember", lambda _secret: None)
    monkeypatch.setattr(secrecy._Known, "forms", ())
    held(place)
    web.status = 500
    walk(place, file)
    tried = try_all(place.ledger, Notifier(messenger=partial(messenger, file), rules=Rules()), by="anne")
    assert tried[0].error is not None

    stored = b"".join(one.read_bytes() for one in tmp_path.glob("ledger.sqlite*"))
    spoken = f"{whole_log.getvalue()} {tried[0].error.sentence} {tried[0].name} {messenger(file)!r}"
    assert len(web.asked) == 2
    for secret in (PASSWORD, TOKEN):
        assert secret not in spoken
        assert secret.encode() not in stored


# ---- the test message


def test_the_test_message_reaches_everybody_and_says_who_was_not_reached(
    place: Place, web: Web, file: Path
) -> None:
    with receivers.mail() as post, receivers.web() as broken:
        broken.status = 401
        file.write_text(f"{web.url}\n{post.url}\n{broken.url}\n")
        tried = try_all(place.ledger, Notifier(messenger=partial(messenger, file), rules=Rules()), by="anne")

    assert [one.error is None for one in tried] == [True, True, False]
    assert isinstance(tried[2].error, NoticeNotSent)
    assert "anne asked for this test" in web.bodies[0]
    assert "Subject: alyx-transfer: a test" in post.got[0]


def test_a_message_may_be_sent_by_mail(place: Place, file: Path) -> None:
    held(place)
    with receivers.mail() as post:
        file.write_text(f"{post.url}\n")
        assert walk(place, file) == "messages sent: 1"

    assert "1 new (cortexlab)" in post.got[0]


def test_what_was_told_to_a_target_that_left_the_file_is_forgotten_after_a_month(
    place: Place, web: Web, file: Path
) -> None:
    held(place)
    walk(place, file)
    (target,) = messenger(file).targets
    assert len(notices.told_to(place.ledger, target.id)) == 1

    place.clock.forward(days=29)
    notices.forget_strangers(place.ledger, ["another"])
    assert len(notices.told_to(place.ledger, target.id)) == 1
    place.clock.forward(days=2)
    notices.forget_strangers(place.ledger, [target.id])
    assert len(notices.told_to(place.ledger, target.id)) == 1
    notices.forget_strangers(place.ledger, ["another"])
    assert notices.told_to(place.ledger, target.id) == []
