"""`alyx-transfer globus login`, against a Globus that always agrees."""

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import typer

from cli.failures import Exit
from cli.main import main
from sandbox.globus import SandboxGlobus
from transfer.transports.globus.login import PersonalLogin, tokens_for
from transfer.transports.globus.options import GlobusOptions

CONFIG = """
[alyx]
url = "https://alyx.example.org"
user = "bot"
password = "hunter2"
[labs.cortexlab]
repository = "cortexlab_SR"
root = "/srv/lab"
work = "disk"
store = "flatiron"
[stores.flatiron]
transport = "globus"
{login}
client_id = "{client}"
collection = "{some}"
root = "/central"
service_url = "{url}"
auth_url = "{url}"
[stores.flatiron.sources.cortexlab_SR]
collection = "{some}"
root = "/Data"
[stores.disk]
transport = "local"
root = "{folder}/central"
"""


@pytest.fixture
def globus() -> Iterator[SandboxGlobus]:
    with SandboxGlobus() as running:
        yield running


@pytest.fixture
def config(tmp_path: Path, globus: SandboxGlobus) -> Path:
    return write(tmp_path, globus, f'login = "user"\ntoken_file = "{tmp_path}/kept/globus.json"')


def write(folder: Path, globus: SandboxGlobus, login: str, client: str | None = None) -> Path:
    file = folder / "config.toml"
    client = client or globus.native_client_id
    file.write_text(CONFIG.format(login=login, client=client, some=uuid4(), url=globus.url, folder=folder))
    file.chmod(0o600)
    return file


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)


def answer(
    monkeypatch: pytest.MonkeyPatch, globus: SandboxGlobus, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """Have the prompt answered by somebody who opened the printed address."""
    seen: list[str] = []

    def prompt(*_: object, **__: object) -> str:
        seen.append(capsys.readouterr().out)
        url = next(word for word in seen[-1].split() if word.startswith("http"))
        return f" {globus.approve(url)} "

    monkeypatch.setattr(typer, "prompt", prompt)
    return seen


@pytest.mark.usefixtures("terminal")
def test_a_person_logs_in_and_the_workers_can_use_it(
    config: Path,
    tmp_path: Path,
    globus: SandboxGlobus,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen = answer(monkeypatch, globus, capsys)

    assert main(["--config", str(config), "globus", "login", "flatiron"]) == Exit.FINE

    file = tmp_path / "kept" / "globus.json"
    assert "Open this address" in seen[0]
    assert str(file) in capsys.readouterr().out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    from config.settings import load

    options = load(config, {}).stores["flatiron"].options
    assert isinstance(options, GlobusOptions)
    assert tokens_for(options).current().value


def test_without_a_terminal_nothing_is_asked_and_the_other_way_is_named(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert main(["--config", str(config), "globus", "login", "flatiron"]) == Exit.LOGIN

    said = capsys.readouterr().err
    assert "somebody at a terminal" in said
    assert "confidential client" in said


@pytest.mark.parametrize(
    ("store", "said"), [("flatirom", "There are: flatiron, disk."), ("disk", "not reached through Globus")]
)
def test_another_store_is_a_matter_of_typing(
    config: Path, capsys: pytest.CaptureFixture[str], store: str, said: str
) -> None:
    assert main(["--config", str(config), "globus", "login", store]) == Exit.USAGE
    assert said in capsys.readouterr().err


def test_a_confidential_client_needs_no_login(
    config: Path, tmp_path: Path, globus: SandboxGlobus, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, globus, 'client_secret = "s3cret"', client=globus.client_id)

    assert main(["--config", str(config), "globus", "login", "flatiron"]) == Exit.USAGE
    said = capsys.readouterr().err
    assert "logs in by itself" in said
    assert "s3cret" not in said


def test_the_prompt_may_be_left(
    config: Path, tmp_path: Path, terminal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prompt(*_: object, **__: object) -> str:
        raise typer.Abort

    monkeypatch.setattr(typer, "prompt", prompt)

    assert main(["--config", str(config), "globus", "login", "flatiron"]) != Exit.FINE
    assert not (tmp_path / "kept").exists()


def test_a_login_is_closed_whatever_happens(globus: SandboxGlobus, tmp_path: Path) -> None:
    options = GlobusOptions.model_validate(
        {
            "login": "user",
            "client_id": globus.native_client_id,
            "token_file": tmp_path / "x",
            "collection": uuid4(),
            "root": "/",
            "sources": {"lab": {"collection": uuid4(), "root": "/"}},
            "auth_url": globus.url,
        }
    )
    with pytest.raises(KeyboardInterrupt), PersonalLogin(options):
        raise KeyboardInterrupt
    assert not (tmp_path / "x").exists()
