"""`notify` tries the targets, shows what they would be told, and leaves a lab alone; `doctor` says who fails."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from cli.bench import Bench, Note
from cli.checks import notified
from config import rounds, wiring
from config.settings import load
from tests import receivers
from tests.cli.installed import Installed
from tests.ledger.build import LAB
from tests.receivers import PASSWORD, TOKEN, Web
from transfer.errors import NoticeNotSent, SourceUnreadable
from transfer.ledger import notices
from transfer.notifying import Target
from transfer.recurrence import Interval
from transfer.status import Status
from workers.assembly import worker_app


@pytest.fixture
def web() -> Iterator[Web]:
    with receivers.web() as receiver:
        yield receiver


@pytest.fixture
def told(installed: Installed, web: Web) -> Installed:
    """An installation that tells one target."""
    targets = installed.folder / "targets"
    targets.write_text(f"{web.url}\n")
    targets.chmod(0o600)
    with (installed.folder / "config.toml").open("a") as config:
        config.write(f'[notices]\ntargets_file = "{targets}"\n')
    return installed


def held(installed: Installed) -> None:
    session = installed.place.at(Status.PLANNED)
    installed.place.hold(session, SourceUnreadable("it cannot be read", to="a.npy"))


def test_the_test_message_is_sent_and_its_targets_are_listed(told: Installed, web: Web) -> None:
    (row,) = told.json("notify", "test")

    assert (row["sent"], row["why"]) == (True, None)
    assert "anne asked for this test" in web.bodies[0]


def test_a_target_that_is_not_reached_is_told_with_why_and_without_its_address(
    told: Installed, web: Web
) -> None:
    web.status = 401

    code, out, err = told.run("notify", "test")

    assert code != 0
    assert "was not sent" in out
    assert "401" in out
    assert PASSWORD not in out + err
    assert TOKEN not in out + err


def test_the_preview_shows_everything_and_sends_nothing(told: Installed, web: Web) -> None:
    held(told)

    for _ in range(2):
        (row,) = told.json("notify", "preview")
        assert "1 file of cortexlab is held" in row["body"]
        assert row["title"] == "alyx-transfer: 1 new (cortexlab)"
    assert "What to do: " in told.run("notify", "preview")[1]
    assert web.asked == []


def test_the_preview_of_a_good_night_says_that_nothing_is_told(told: Installed) -> None:
    code, out, _ = told.run("notify", "preview")

    assert code == 0
    assert "nothing: " in out


def test_a_silenced_lab_is_left_alone_until_it_is_spoken_of_again(told: Installed) -> None:
    held(told)

    assert "until 20" in told.run("notify", "silence", LAB.name, "--why", "moving", "--hours", "48")[1]
    assert told.json("notify", "preview")[0]["body"] is None
    assert "spoken of again" in told.run("notify", "unsilence", LAB.name)[1]
    assert told.json("notify", "preview")[0]["body"] is not None
    assert "was not silenced" in told.run("notify", "unsilence", LAB.name)[1]

    done = [(row.what, row.why) for row in told.place.events(actor="person:anne")]
    assert done == [("silenced", "moving"), ("silence ended", None)]


def test_a_lab_that_the_config_does_not_know_cannot_be_silenced(told: Installed) -> None:
    code, _, err = told.run("notify", "silence", "hoferlab", "--why", "moving")

    assert code != 0
    assert "There are: cortexlab." in err


@pytest.mark.parametrize("command", ["test", "preview"])
def test_without_a_file_of_targets_it_says_how_to_begin(installed: Installed, command: str) -> None:
    code, _, err = installed.run("notify", command)

    assert code != 0
    assert "Set targets_file in [notices]" in err


def test_the_round_is_walked_only_where_somebody_is_to_be_told(told: Installed, tmp_path: Path) -> None:
    def names(config: Path) -> set[str]:
        return set(rounds.table(load(config, {})))

    quiet = tmp_path / "quiet.toml"
    quiet.write_text((told.folder / "config.toml").read_text().partition("[notices]")[0])
    quiet.chmod(0o600)

    assert names(told.folder / "config.toml") - names(quiet) == {"notices"}


def test_workers_walk_the_round_when_it_is_due(told: Installed, web: Web) -> None:
    """Twice at once, it is walked once."""
    held(told)
    settings = load(told.folder / "config.toml", {})
    catalog = wiring.catalog(settings)
    walked = wiring.rounds(settings, wiring.runner(settings, ledger=told.place.ledger, catalog=catalog))
    every = Interval(timedelta(minutes=10))

    assert walked.notices(when=every) == "messages sent: 1"
    assert walked.notices(when=every) is None
    told.place.clock.forward(minutes=10)
    assert walked.notices(when=every) == "messages sent: 0"
    catalog.close()


def test_beat_rings_for_a_task_that_there_is(told: Installed) -> None:
    settings = load(told.folder / "config.toml", {})
    catalog = wiring.catalog(settings)
    app, _ = worker_app(settings, ledger=told.place.ledger, catalog=catalog, hands=1)
    catalog.close()

    assert app.conf.beat_schedule["notices"]["schedule"] == 120
    assert "alyx_transfer.notices" in app.tasks


def test_doctor_says_who_is_told_and_who_fails(told: Installed) -> None:
    with ExitStack() as opened:
        bench = Bench(load(told.folder / "config.toml", {}), opened)
        assert notified(bench, "").startswith("told what needs a person: 1 ")

        (target,) = _targets(told)
        notices.not_sent(told.place.ledger, target.id, target.name, "connection refused")
        with pytest.raises(NoticeNotSent, match="connection refused"):
            notified(bench, "")

        told.json("notify", "test")
        assert notified(bench, "")


def test_doctor_mentions_that_nobody_is_told(installed: Installed) -> None:
    with ExitStack() as opened, pytest.raises(Note, match="nobody is told"):
        notified(Bench(load(installed.folder / "config.toml", {}), opened), "")


def _targets(told: Installed) -> Sequence[Target]:
    notifier = wiring.notifier(load(told.folder / "config.toml", {}))
    assert notifier is not None
    return notifier.messenger().targets


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('quiet = "22:00"', "notices.quiet"),
        ('at = "25:00"', "notices.at"),
        ('timezone = "Mars/Olympus"', "notices.timezone"),
        ('link = "ftp://x"', "notices.link"),
        ("at_once_minutes = 0", "notices.at_once_minutes"),
    ],
)
def test_a_key_that_cannot_be_is_named(installed: Installed, line: str, what: str) -> None:
    with (installed.folder / "config.toml").open("a") as config:
        config.write(f"[notices]\n{line}\n")

    code, _, err = installed.run("status")

    assert code != 0
    assert what in err


def test_a_file_of_targets_that_others_can_read_is_refused(told: Installed) -> None:
    (told.folder / "targets").chmod(0o644)

    code, _, err = told.run("status")

    assert code != 0
    assert "chmod 600" in err
