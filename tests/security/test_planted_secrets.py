"""No secret of the config is seen anywhere: not while all goes well, not while every login is refused.

Every place where the config takes a secret gets one that stands nowhere else, and everything that leaves the program
is searched for it: output, logs at debug level, the ledger, Alyx, the messages, files left, the process list.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from planted import STORES, Listening, Planted, Watching, clean_environment, planted, witness

from cli.main import main
from tests import servers
from tests.integration.lab import REPOSITORY, until
from transfer import secrecy

_PROGRAM = "from cli.main import run; run()"


@pytest.fixture
def lab(tmp_path: Path, postgres_url: str, sshd_path: str) -> Iterator[Planted]:
    witness(servers.need("ssh", install="apt-get install openssh-client"), tmp_path)
    with servers.redis() as redis, planted(tmp_path, postgres_url, redis) as made:
        yield made


@contextmanager
def worker(lab: Planted, config: Path) -> Iterator[Path]:
    """A worker and its beat in a process of their own; what they say is in the file."""
    said = lab.home / "worker.log"
    # As a service manager gives them: what the config takes from the environment must not reach a child either.
    given = {
        "ALYX_TRANSFER_LEDGER__URL": str(lab.facts["ledger"]),
        "ALYX_TRANSFER_BROKER__URL": str(lab.facts["broker"]),
        "ALYX_TRANSFER_WEB__PASSWORD": str(lab.facts["web_password"]),
    }
    words = [
        sys.executable,
        "-c",
        _PROGRAM,
        "--config",
        str(config),
        "--verbose",
        "worker",
        "--embedded-beat",
    ]
    environment = clean_environment(lab.home) | given
    with said.open("ab") as out:
        child = subprocess.Popen(words, cwd=REPOSITORY, env=environment, stdout=out, stderr=out)
        try:
            with Watching(child.pid) as watching:
                yield said
                child.send_signal(signal.SIGTERM)
                assert child.wait(120) == 0, said.read_text()
            with (lab.home / "processes.log").open("a") as seen:
                seen.write(watching.seen)
        finally:
            child.kill()
            child.wait()


def typed(lab: Planted, config: Path, capfd: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command says on both streams."""
    capfd.readouterr()
    main(["--config", str(config), "--verbose", *words])
    told = capfd.readouterr()
    return told.out + told.err


def everywhere(lab: Planted) -> dict[str, str]:
    """What was left, by where."""
    return {
        "ledger": lab.ledger_text(),
        "alyx": lab.alyx_text(),
        "worker": (lab.home / "worker.log").read_text(),
        "processes": (lab.home / "processes.log").read_text(),
        "files": lab.files_text(lab.home / "account", lab.home / "stores", lab.home / "labs"),
    }


COMMANDS = (["doctor"], ["status"], ["report"], ["held"])


@pytest.mark.timeout(360)
def test_no_secret_is_seen_anywhere_in_a_whole_run(
    lab: Planted, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """First with the right secrets, then with wrong ones; the first line of defence alone has to do in our process."""
    for name, value in clean_environment(lab.home).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(
        secrecy, "SHORTEST", 10**9
    )  # nothing is remembered, so nothing is masked by its value
    session, one = str(lab.session("library")), str(lab.files[0])
    said: dict[str, str] = {}
    with Listening(lab.redis, lab.secrets["broker"]) as listening:
        config = lab.write_config()
        with worker(lab, config):
            until(lambda: lab.announced() == len(lab.files), "every file has arrived", patience=120)
        for words in (*COMMANDS, ["why", one], ["verify", session], ["push", session]):
            said[f"right: {words[0]}"] = typed(lab, config, capfd, *words)
        said |= {f"right: {where}": text for where, text in everywhere(lab).items()}

        # When every store refuses us, then Alyx too
        wrong = lab.wrong()
        config = lab.write_config(**wrong)
        for words in (["doctor"], ["verify", session], ["push", session]):
            said[f"no alyx: {words[0]}"] = typed(lab, config, capfd, *words)
        lab.write_password(lab.secrets["alyx"])
        for store in STORES:
            lab.write(store, "spikes.amps.npy")
        with worker(lab, config):
            until(lambda: lab.paused() >= {"library", "files", "mover"}, "the stores refuse us", patience=120)
        for words in (["doctor"], ["status"], ["held"]):
            said[f"no store: {words[0]}"] = typed(lab, config, capfd, *words)
        said |= {f"wrong: {where}": text for where, text in everywhere(lab).items()}
    said["messages"] = listening.heard

    _the_search_was_real(lab, said)
    assert {where: found for where, text in said.items() if (found := lab.found_in(text))} == {}


def _the_search_was_real(lab: Planted, said: dict[str, str]) -> None:
    """Each text holds what it must, so that a search that finds nothing has searched something."""
    expected = {
        "right: doctor": "store probe",
        "right: verify": "",
        "right: ledger": "recorded",
        "right: alyx": lab.files[0].name,
        "right: worker": '"level": "debug"',
        "right: processes": "environ of",
        "messages": "alyx_transfer.",
        "no alyx: doctor": "E-3003",
    }
    for where, words in expected.items():
        assert words in said[where], f"{where}: {said[where][-3000:]}"
    assert "StrictHostKeyChecking=yes" in said["right: processes"]
    assert os.environ["HOME"].startswith(str(lab.home))
