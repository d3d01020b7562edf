"""The systemd units: systemd takes them, they are locked in, and they stop and start as docs/deploying.md says."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cli.failures import Exit
from tests.deploy.recipes import UNITS, settings_of
from tests.servers import need

EXPOSED = 20  # of 100, as systemd-analyze counts; an unprotected service has 96
each_unit = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)


@pytest.fixture
def analyze() -> str:
    return need("systemd-analyze", "/usr/bin", install="apt-get install systemd")


def here(unit: Path, folder: Path) -> Path:
    """The unit as one of a lab, with a program that is on this machine, which `verify` insists on."""
    program = shutil.which("true")
    assert program
    copy = folder / unit.name.replace("@.", "@cortexlab.")
    copy.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={program}", unit.read_text("utf-8"), flags=re.M))
    if "@" in unit.name:
        (folder / unit.name).write_text(copy.read_text())
    return copy


@each_unit
def test_systemd_takes_the_unit(unit: Path, tmp_path: Path, analyze: str) -> None:
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(here(unit, tmp_path))], capture_output=True, text=True, timeout=60
    )
    said = [line for line in done.stderr.splitlines() if unit.name.split(".")[0].split("@")[0] in line]
    assert (done.returncode, said) == (0, [])


def test_systemd_notices_a_unit_that_is_wrong(tmp_path: Path, analyze: str) -> None:
    """The test above can fail."""
    unit = tmp_path / "wrong.service"
    unit.write_text("[Service]\nExecStart=/nowhere/to/be/found\n")
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0


@each_unit
def test_the_service_can_do_little(unit: Path, tmp_path: Path, analyze: str) -> None:
    """By systemd's own measure, which counts what a broken-in service could reach."""
    done = subprocess.run(
        [
            analyze,
            "security",
            "--offline=true",
            "--no-pager",
            f"--threshold={EXPOSED}",
            str(here(unit, tmp_path)),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


@each_unit
def test_every_secret_is_a_credential_and_none_is_in_the_environment(unit: Path) -> None:
    told = settings_of(unit)
    credentials = {value.partition(":")[0] for key, value in told if key == "LoadCredential"}
    used = {value.rpartition("/")[2] for key, value in told if key == "Environment" and "=%d/" in value}
    assert credentials == used
    assert {"alyx-password", "ledger-password", "broker-password"} <= credentials
    for key, value in told:
        if key == "Environment" and re.search("PASSWORD|SECRET|KEY", value):
            assert "_FILE=%d/" in value, value


@each_unit
def test_it_comes_back_unless_a_person_must_act_first(unit: Path) -> None:
    told = dict(settings_of(unit))
    assert told["Restart"] == "always"
    assert told["StartLimitIntervalSec"] == "0"
    kept = {Exit.USAGE, Exit.CONFIG, Exit.LOGIN, Exit.HELD}
    assert {int(code) for code in told["RestartPreventExitStatus"].split()} == kept


@each_unit
def test_processes_of_other_accounts_stay_visible(unit: Path) -> None:
    """A worker that cannot see another account's process would take it for ended, and its partial for free."""
    assert "ProtectProc" not in dict(settings_of(unit))


def test_there_is_a_unit_for_each_kind_of_process() -> None:
    names = {unit.name.removeprefix("alyx-transfer-") for unit in UNITS}
    assert names == {"worker@.service", "central.service", "beat.service", "dashboard.service"}
