"""`alyx-transfer worker` and `beat`: the processes that run by themselves."""

import signal
import time
from collections.abc import Callable

import pytest

from tests.cli.running import SUBJECT, Running, environment

FILE = f"{SUBJECT}/2026-03-04/001/alf/spikes.times.npy"
PATIENCE = 60.0  # seconds; nothing here takes that long


def comes_true(fact: Callable[[], bool]) -> bool:
    """Wait for it."""
    end = time.monotonic() + PATIENCE
    while not fact():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_one_process_finds_and_moves_a_session_and_ends_when_told(lab: Running, how: signal.Signals) -> None:
    """All that one machine needs: no broker, no beat of its own."""
    with lab.config.open("a") as config:
        config.write('\n[schedule]\nsweep_seconds = 1\nscan = "every second"\n')
    (lab.session() / "raw_session.flag").touch()

    with lab.start("worker", "--embedded-beat", "--concurrency", "2", env=environment()) as worker:
        try:
            assert comes_true(lambda: lab.announced() == [FILE])
            assert comes_true(lambda: lab.leases() == [])
            worker.send_signal(how)
            _, err = worker.communicate(timeout=PATIENCE)
        finally:
            worker.kill()

    assert worker.returncode == 0, err
    assert "Traceback" not in err
    assert lab.leases() == []


@pytest.mark.parametrize("words", [["worker"], ["beat"]])
def test_what_nobody_could_hear_is_refused(lab: Running, words: list[str]) -> None:
    """memory:// does not leave the process: a worker would wait for ever, a beat would ring for nobody."""
    code, out, err = lab.run(*words)

    assert (code, out) == (2, "")
    assert 'Run "alyx-transfer worker --embedded-beat"' in err
    assert err.count("\n") == 1


def test_a_worker_with_a_wrong_password_says_so_and_ends(lab: Running) -> None:
    lab.configure(password="hunter3")
    code, _, err = lab.run("worker", "--embedded-beat")
    assert code == 4
    assert err.startswith("[E-3003] ")


def test_there_is_at_least_one_hand(lab: Running) -> None:
    code, _, err = lab.run("worker", "--concurrency", "0")
    assert code == 2
    assert "Invalid value for '--concurrency'" in err
