"""How a command ends: one sentence and an exit code, whatever happened."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from cli import failures, main
from cli.failures import Exit, common_code, exit_code
from transfer import errors
from transfer.errors import CATALOGUE, ConfigProblems, TransferError

HEAVY = ("sqlalchemy", "paramiko", "celery", "kombu", "httpx2", "globus_sdk", "pydantic_settings", "alembic")


@pytest.fixture
def ends_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> object:
    """Runs a program of two commands of which `boom` ends with the given exception."""

    def _run(error: BaseException) -> int:
        class Group:
            @staticmethod
            def add(app: typer.Typer) -> None:
                @app.command("boom")
                def boom() -> None:
                    raise error

        monkeypatch.setattr(main, "_COMMANDS", (Group, *main._COMMANDS))
        monkeypatch.setattr("config.places.state_folder", lambda: tmp_path / "state")
        return main.main(["boom"])

    return _run


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigProblems(["x"]), Exit.CONFIG),
        (errors.NothingFound("no such session"), Exit.USAGE),
        (errors.LoginRefused("no"), Exit.LOGIN),
        (errors.CatalogLoginRefused("no"), Exit.LOGIN),
        (errors.HostKeyChanged("no"), Exit.LOGIN),
        (errors.EndpointUnreachable("no"), Exit.UNREACHABLE),
        (errors.ConnectionLost("no"), Exit.UNREACHABLE),
        (errors.ProtectedDataset("no"), Exit.HELD),
        (errors.Unexpected("no"), Exit.DEFECT),
        (KeyboardInterrupt(), Exit.INTERRUPTED),
        (ValueError("x"), Exit.DEFECT),
    ],
)
def test_each_class_of_failure_has_its_exit_code(ends_with, error: BaseException, code: Exit) -> None:
    assert exit_code(error) == code
    assert ends_with(error) == code


@pytest.mark.parametrize("kind", CATALOGUE.values())
def test_every_known_error_ends_with_a_code_between_the_usual_ones(kind: type[TransferError]) -> None:
    error = ConfigProblems(["x"]) if kind is ConfigProblems else kind("it broke")

    assert exit_code(error) in set(Exit) - {Exit.FINE, Exit.INTERRUPTED}
    assert f"[{kind.code}]" in failures.sentence(error)


def test_every_exit_code_is_documented() -> None:
    documented = {
        line.split()[0] for line in (failures.__doc__ or "").splitlines() if line.startswith("    ")
    }

    assert documented == {str(int(code)) for code in Exit}


def test_a_failure_is_one_sentence_on_standard_error(ends_with, capsys: pytest.CaptureFixture[str]) -> None:
    ends_with(errors.LoginRefused("login refused", to="sftp://rig-7"))

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("[E-2003] login refused: sftp://rig-7. Install the public key")
    assert err.count("\n") == 1


def test_the_problems_of_a_config_get_a_line_each(ends_with, capsys: pytest.CaptureFixture[str]) -> None:
    ends_with(ConfigProblems(["one", "two"]))

    assert capsys.readouterr().err.splitlines()[:2] == ["one", "two"]


def test_a_defect_shows_no_stack_trace_but_says_where_it_is(
    ends_with, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ends_with(ZeroDivisionError("seven by nothing"))

    err = capsys.readouterr().err
    (kept,) = (tmp_path / "state").iterdir()
    assert str(kept) in err
    assert "Traceback (" not in err
    assert "seven by nothing" in kept.read_text()
    if os.name == "posix":
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_a_defect_is_told_even_where_its_traceback_cannot_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(blocked))

    assert "could not be written anywhere" in failures.defect_sentence(ValueError("x"), blocked)


def test_an_interruption_is_quiet(ends_with, capsys: pytest.CaptureFixture[str]) -> None:
    assert ends_with(KeyboardInterrupt()) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_several_failures_end_with_their_common_code() -> None:
    refused, away = errors.LoginRefused("no"), errors.EndpointUnreachable("no")

    assert common_code([]) == Exit.FINE
    assert common_code([refused, refused]) == Exit.LOGIN
    assert common_code([refused, away]) == Exit.NOT_DONE


def test_a_command_typed_wrongly_ends_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--confg", "x"]) == Exit.USAGE
    assert main.main(["no-such-command"]) == Exit.USAGE


def test_help_and_version_need_no_config_and_no_heavy_package() -> None:
    """What makes `--help` slow is imports, so those are what we look at, not a clock."""
    program = (
        "import sys; from cli.main import main; codes = [main(['--help']), main(['--version'])];"
        f"print('loaded', [name for name in {HEAVY!r} if name in sys.modules], codes)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "loaded [] [0, 0]" in done.stdout
    assert "doctor" in done.stdout
    assert "alyx-transfer" in done.stdout


def test_a_reader_that_goes_away_is_no_failure() -> None:
    """`alyx-transfer --help | head -1` says nothing on standard error."""
    program = "from cli.main import run; run()"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", program, "--help"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)

    assert done.stderr == ""
