"""A process counts as gone only when that is certain; its partial is taken over only then."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from transfer.ledger import processes
from transfer.ledger.processes import has_ended, this_process

NAME = "import sys; from transfer.ledger.processes import this_process; print(this_process(), flush=True); "
LIVES = NAME + "sys.stdin.read()"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def other() -> str:
    """The name of another process, which lives while the test lasts."""
    with subprocess.Popen(
        [sys.executable, "-c", LIVES], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        yield child.stdout.readline().strip()
        child.kill()


def test_a_living_process_has_not_ended(other: str) -> None:
    assert not has_ended(this_process())
    assert not has_ended(other)
    assert not has_ended(other.rpartition(" ")[0]), "named by an older version, without its namespace"


def test_a_process_that_was_killed_has_ended() -> None:
    told = subprocess.run(
        [sys.executable, "-c", NAME + "pass"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()

    assert has_ended(told)
    assert has_ended(told.rpartition(" ")[0])


def test_a_reused_pid_is_another_process() -> None:
    host, boot, pid, _, namespace = this_process().split(" ")

    assert has_ended(f"{host} {boot} {pid} 1 {namespace}")


def test_a_process_of_another_container_is_not_looked_for_in_ours() -> None:
    """The same host name and boot, and a pid that is nobody's here: it may live there."""
    host, boot, _, _, namespace = this_process().split(" ")

    assert has_ended(f"{host} {boot} 4194304 1 {namespace}")
    assert not has_ended(f"{host} {boot} 4194304 1 {int(namespace) + 1}")


def test_a_process_that_is_hidden_from_us_may_live(other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As under `hidepid` or systemd's ProtectProc: /proc does not show it, a signal would still reach it."""
    monkeypatch.setattr(processes, "_start_of", lambda _pid: "")
    assert not has_ended(other)

    def refused(_pid: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refused)
    assert not has_ended(other)


@pytest.mark.parametrize("name", [None, "", "nonsense", "host boot", "elsewhere boot 1 2 3", "a b c d e f"])
def test_what_is_not_known_is_not_certain(name: str | None) -> None:
    assert not has_ended(name)


def test_after_a_reboot_nothing_of_before_lives() -> None:
    host, _, pid, start, namespace = this_process().split(" ")

    assert has_ended(f"{host} another-boot {pid} {start} {namespace}")
