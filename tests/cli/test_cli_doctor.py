"""`alyx-transfer doctor` finds every problem at once, and each comes with its remedy."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from cli import checks, doctor
from cli.bench import Check, Note
from cli.checks import CHECKS
from cli.doctor import Outcome, made
from cli.main import main
from config import wiring
from transfer import errors
from transfer.catalog.base import AgentTask, Repository
from transfer.conformance import habits
from transfer.transports.base import Capabilities, Digested
from transfer.transports.local import LocalTransport

CENTRAL = Repository(
    name="flatiron_cortexlab",
    globus_path="/cortexlab/Subjects/",
    data_url="https://ibl.example.org/cortexlab/Subjects/",
    personal=False,
    json=None,
)


@dataclass
class Alyx:
    """What the doctor asks of Alyx, answered from plain fields; an exception is raised."""

    repositories: dict[str, Repository]
    login: str | Exception = "transfer_bot"
    skew: float = 0.0
    of_lab: list[str] | Exception = field(default_factory=lambda: ["cortexlab_SR", "flatiron_cortexlab"])
    tasks: int = 0
    agent: AgentTask | None = None
    closed: int = 0

    def check_login(self) -> str:
        return _or_raise(self.login)

    def server_time_skew(self) -> float:
        return self.skew

    def lab_repositories(self, lab: str) -> list[str]:
        return _or_raise(self.of_lab)

    def repository(self, name: str) -> Repository:
        if name not in self.repositories:
            raise errors.UnknownInCatalog("no such repository", to=name)
        return self.repositories[name]

    def incumbent_tasks(self, lab: str) -> int:
        return self.tasks

    def agent_task(self, name: str, repository: str) -> AgentTask | None:
        return self.agent

    def close(self) -> None:
        self.closed += 1


def _or_raise(answer):
    if isinstance(answer, Exception):
        raise answer
    return answer


@dataclass
class Place:
    """A healthy installation in a folder: config, lab, store on a mounted disk, ledger, and Alyx."""

    config: Path
    lab: Path
    store: Path
    alyx: Alyx

    def edit(self, old: str, new: str) -> None:
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    lab, store = tmp_path / "Subjects", tmp_path / "ibl" / "cortexlab" / "Subjects"
    (lab / "KS055").mkdir(parents=True)
    store.mkdir(parents=True)
    config = tmp_path / "config.toml"
    config.write_text(f"""
[alyx]
url = "https://alyx.example.org"
user = "transfer_bot"
password = "hunter2"
[ledger]
url = "sqlite:///{tmp_path}/ledger.sqlite"
[journey]
batch_bytes = 1
[labs.cortexlab]
repository = "cortexlab_SR"
root = "{lab}"
work = "disk"
store = "flatiron_cortexlab"
[stores.flatiron_cortexlab]
transport = "local"
root = "{store}"
""")
    config.chmod(0o600)
    own = replace(CENTRAL, name="cortexlab_SR", globus_path=f"{lab}/", data_url=None, personal=True)
    alyx = Alyx({"flatiron_cortexlab": CENTRAL, "cortexlab_SR": own})
    monkeypatch.setattr(wiring, "catalog", lambda settings: alyx)
    monkeypatch.setattr("config.places.state_folder", lambda: tmp_path / "state")
    return Place(config, lab, store, alyx)


Examine = Callable[..., tuple[int, dict[tuple[str, str], dict[str, str]]]]


@pytest.fixture
def examine(place: Place, capsys: pytest.CaptureFixture[str]) -> Examine:
    """Runs `doctor --json`: its exit code, and its findings by check and subject."""

    def _examine() -> tuple[int, dict[tuple[str, str], dict[str, str]]]:
        code = main(["--config", str(place.config), "doctor", "--json"])
        found = json.loads(capsys.readouterr().out)
        return code, {(row["check"], row["subject"]): row for row in found}

    return _examine


def outcomes(found: dict[tuple[str, str], dict[str, str]], outcome: Outcome) -> set[str]:
    return {check for (check, _), row in found.items() if row["outcome"] == outcome}


def test_a_healthy_installation_has_no_problem(place: Place, examine: Examine) -> None:
    code, found = examine()

    assert outcomes(found, Outcome.PROBLEM) == set()
    assert outcomes(found, Outcome.NOT_CHECKED) == set()
    assert code == 0
    assert {check for check, _ in found} == {"config", *(check.name for check in CHECKS)}
    assert place.alyx.closed == 1


def test_the_probe_leaves_no_file_behind(place: Place, examine: Examine) -> None:
    examine()

    assert [path for path in place.store.rglob("*") if path.is_file()] == []


def test_all_problems_come_at_once_each_with_its_remedy(place: Place, examine: Examine) -> None:
    place.alyx.tasks = 12
    place.alyx.of_lab = ["cortexlab_SR"]
    place.alyx.repositories["flatiron_cortexlab"] = replace(CENTRAL, personal=True)
    place.edit(str(place.lab), f"{place.lab}-gone")

    code, found = examine()

    assert outcomes(found, Outcome.PROBLEM) == {"lab in alyx", "store in alyx", "lab folder"}
    assert code == 1
    assert found["lab folder", "cortexlab"]["code"] == "E-1005"
    assert found["work source", "cortexlab"]["sentence"] == 'because "lab in alyx" did not end well'


@pytest.mark.parametrize(
    ("ahead", "outcome"), [(-121, "note"), (-90, "ok"), (0, "ok"), (90, "ok"), (3600, "note")]
)
def test_a_clock_is_worth_a_note_and_refuses_nothing(
    place: Place, examine: Examine, ahead: float, outcome: str
) -> None:
    """Nothing of ours depends on Alyx's clock."""
    place.alyx.skew = ahead

    code, found = examine()

    assert code == 0
    assert found["alyx clock", ""]["outcome"] == outcome
    assert f"the clock of Alyx is {ahead:+.0f} s from ours" in found["alyx clock", ""]["sentence"]
    assert (
        found["ledger clock", ""]["outcome"] == found["store clock", "flatiron_cortexlab"]["outcome"] == "ok"
    )


@pytest.mark.parametrize(
    ("days", "outcome", "said"),
    [
        (None, "ok", "nothing is known that would end"),
        (90, "ok", "holds until"),
        (10, "note", "ends at"),
        (-1, "problem", "has ended at"),
    ],
)
def test_a_certificate_is_told_before_it_ends(
    place: Place, examine: Examine, monkeypatch: pytest.MonkeyPatch, days: int | None, outcome: str, said: str
) -> None:
    until = None if days is None else datetime.now(UTC) + timedelta(days=days)
    whole = LocalTransport.capabilities.fget
    monkeypatch.setattr(
        LocalTransport, "capabilities", property(lambda self: replace(whole(self), credential_until=until))
    )

    code, found = examine()

    row = found["store certificate", "flatiron_cortexlab"]
    assert (row["outcome"], code != 0) == (outcome, outcome == "problem")
    assert said in row["sentence"]


def test_a_store_that_takes_two_names_for_one_is_worth_a_note(
    place: Place, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost there: each name carries its dataset's uuid."""
    found_as = habits.Names(folds_case=True, folds_unicode=None, takes_odd=False)
    monkeypatch.setattr("transfer.conformance.names", lambda transport, lab: found_as)

    code, found = examine()

    row = found["store names", "flatiron_cortexlab"]
    assert (row["outcome"], code) == ("note", 0)
    for said in ("differ in case only for one", "no name with an accent", '" < > | ? *'):
        assert said in row["sentence"]


def test_ibllibs_tasks_speak_against_reading_the_disk(place: Place, examine: Examine) -> None:
    place.alyx.tasks = 12

    code, found = examine()

    assert 'Set work = "alyx"' in found["work source", "cortexlab"]["sentence"]
    place.edit('work = "disk"', 'work = "alyx"')
    assert examine()[1]["work source", "cortexlab"]["outcome"] == "ok"
    assert code != 0


def test_another_ledger_for_the_same_repository_is_a_problem(place: Place, examine: Examine) -> None:
    told = {"ledger": "11111111-2222-3333-4444-555555555555"}
    place.alyx.agent = AgentTask(
        id=UUID(int=1), name="alyx-transfer", status="Started", arguments=told, log=None
    )

    code, found = examine()

    assert found["ledger owner", "cortexlab"]["code"] == errors.ForeignLedger.code
    assert code == 6


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.CatalogLoginRefused("login refused", to="https://alyx.example.org"), 4),
        (errors.CatalogUnreachable("no answer", to="https://alyx.example.org"), 5),
    ],
)
def test_one_kind_of_problem_gives_its_own_exit_code(
    place: Place, examine: Examine, error: Exception, code: int
) -> None:
    """What builds on the login is not tried, and says why."""
    place.alyx.login = error

    ended, found = examine()

    assert ended == code
    assert {"alyx clock", "lab in alyx", "store in alyx", "work source"} <= outcomes(
        found, Outcome.NOT_CHECKED
    )
    assert found["store probe", "flatiron_cortexlab"]["outcome"] == "ok"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"personal": None}, "must not be a personal repository"),
        ({"globus_path": "/cortexlab/Subjects"}, "end with a slash"),
        ({"data_url": "https://ibl.example.org/cortexlab/Subjects"}, "end with a slash"),
        ({"data_url": None}, "no data_url"),
    ],
)
def test_a_central_repository_that_readers_cannot_use_is_a_problem(
    place: Place, examine: Examine, change: dict[str, object], said: str
) -> None:
    place.alyx.repositories["flatiron_cortexlab"] = replace(CENTRAL, **change)

    assert said in examine()[1]["store in alyx", "flatiron_cortexlab"]["sentence"]


def test_a_folder_that_differs_from_alyx_is_worth_a_note(place: Place, examine: Examine) -> None:
    place.alyx.repositories["flatiron_cortexlab"] = replace(CENTRAL, globus_path="/other/Subjects/")

    code, found = examine()

    assert found["store in alyx", "flatiron_cortexlab"]["outcome"] == "note"
    assert code == 0


def test_a_store_that_is_not_there_is_a_problem_and_not_probed(place: Place, examine: Examine) -> None:
    place.store.rmdir()

    code, found = examine()

    assert "store connection" in outcomes(found, Outcome.PROBLEM)
    assert {"store probe", "store hash", "store space"} <= outcomes(found, Outcome.NOT_CHECKED)
    assert code != 0


def test_a_store_that_cannot_be_written_to_is_a_problem(place: Place, examine: Examine) -> None:
    """A file stands where the probe's folder should be."""
    (place.store / ".alyx-transfer").write_text("")

    code, found = examine()

    assert "did not make the journey (write: " in found["store probe", "flatiron_cortexlab"]["sentence"]
    assert found["store hash", "flatiron_cortexlab"]["outcome"] == "not checked"
    assert code == 6


class LyingStore(LocalTransport):
    """Says it can hash, and always answers the same."""

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, remote_hash=True)

    def digests(self, paths, algorithm="md5"):
        for path in paths:
            yield Digested(path=path, digest="0" * 32)


def test_a_hash_command_that_lies_is_a_note_and_no_problem(
    place: Place, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are read back then, so nothing is lost but speed."""
    monkeypatch.setattr(wiring, "transport", lambda settings, store: LyingStore(place.store))

    code, found = examine()

    assert found["store hash", "flatiron_cortexlab"]["outcome"] == "note"
    assert "did not notice" in found["store hash", "flatiron_cortexlab"]["sentence"]
    assert found["store probe", "flatiron_cortexlab"]["outcome"] == "ok"
    assert code == 0


def test_a_broker_that_is_down_is_a_problem_of_time(place: Place, examine: Examine) -> None:
    place.config.write_text(place.config.read_text() + '[broker]\nurl = "redis://127.0.0.1:1/0"\n')

    code, found = examine()

    assert outcomes(found, Outcome.PROBLEM) == {"broker"}
    assert code == 5


def test_a_bad_config_leaves_the_rest_unchecked(place: Place, examine: Examine) -> None:
    place.edit('work = "disk"', 'work = "dsk"')

    code, found = examine()

    assert code == 3
    assert "labs.cortexlab.work" in found["config", ""]["sentence"]
    assert outcomes(found, Outcome.NOT_CHECKED) == {check.name for check in CHECKS} - {"packages"}


def test_a_stranger_with_our_name_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import config

    monkeypatch.setattr(config, "__file__", "/elsewhere/config/__init__.py")

    with pytest.raises(errors.Unexpected, match="another package has our name: config"):
        checks.packages()


def test_a_person_reads_a_table(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(place.config), "doctor"]) == 0

    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "No problems."
    assert "hunter2" not in out


# ---- how checks build on one another ---------------------------------------------------------------------


def _fine(_bench: object, _subject: str) -> str:
    return "fine"


def _broken(_bench: object, _subject: str) -> str:
    raise errors.StoreFull("full")


def _odd(_bench: object, _subject: str) -> str:
    raise ZeroDivisionError


def _note(_bench: object, _subject: str) -> str:
    raise Note("look")


SUBJECTS = {"installation": [""], "store": ["a", "b"], "lab": []}


def test_a_check_is_skipped_when_what_it_needs_failed_however_far_back() -> None:
    table = [
        Check("one", "installation", _broken),
        Check("two", "store", _fine, needs=("one",)),
        Check("three", "store", _fine, needs=("two",)),
        Check("four", "store", _fine),
    ]

    found = [
        (finding.check, finding.outcome)
        for finding in made(table, {check.name: SUBJECTS[check.per] for check in table}, None)
    ]

    assert found == [
        ("one", Outcome.PROBLEM),
        *[("two", Outcome.NOT_CHECKED)] * 2,
        *[("three", Outcome.NOT_CHECKED)] * 2,
        *[("four", Outcome.OK)] * 2,
    ]


def test_one_stores_failure_says_nothing_of_another() -> None:
    def only_a(_bench: object, subject: str) -> str:
        return _broken(None, subject) if subject == "a" else "fine"

    table = [Check("one", "store", only_a), Check("two", "store", _fine, needs=("one",))]

    found = {
        (finding.check, finding.subject): finding.outcome
        for finding in made(table, {check.name: SUBJECTS[check.per] for check in table}, None)
    }

    assert found["two", "a"] is Outcome.NOT_CHECKED
    assert found["two", "b"] is Outcome.OK


def test_a_note_does_not_stop_what_builds_on_it() -> None:
    table = [Check("one", "installation", _note), Check("two", "installation", _fine, needs=("one",))]

    assert [
        finding.outcome for finding in made(table, {check.name: SUBJECTS[check.per] for check in table}, None)
    ] == [Outcome.NOTE, Outcome.OK]


def test_a_defect_of_one_check_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config.places.state_folder", lambda: tmp_path)
    table = [Check("one", "installation", _odd), Check("two", "installation", _fine)]

    first, second = made(table, {check.name: SUBJECTS[check.per] for check in table}, None)

    assert (first.outcome, second.outcome) == (Outcome.PROBLEM, Outcome.OK)
    assert doctor.failures.common_code([first.error]) == 70
    assert len(list(tmp_path.iterdir())) == 1


def test_every_need_is_a_check_that_comes_earlier_in_the_table() -> None:
    seen: set[str] = set()
    for check in CHECKS:
        assert set(check.needs) <= seen
        seen.add(check.name)


def test_at_the_centre_no_labs_folder_is_looked_for(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """The disk is another machine's; everything else of the lab is checked, and at the lab the folder is."""

    def checked(*options: str) -> dict[str, str]:
        capsys.readouterr()
        main(["--config", str(place.config), "doctor", "--json", *options])
        return {row["check"]: row["outcome"] for row in json.loads(capsys.readouterr().out)}

    shutil.rmtree(place.lab)
    assert checked()["lab folder"] == "problem"
    assert checked("--lab", "cortexlab")["lab folder"] == "problem"
    central = checked("--central")
    assert "lab folder" not in central
    assert central["lab repository"] == "ok"
