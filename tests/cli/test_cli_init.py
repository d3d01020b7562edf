"""`alyx-transfer init` writes a config that loads again, and asks for nothing it was told."""

import os
import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import first_config, init
from cli.main import main
from config.settings import load

LOCAL = ("--transport", "local", "--store-root")


@pytest.fixture
def told(tmp_path: Path) -> list[str]:
    """Every answer, for a store on a mounted disk."""
    secret = tmp_path / "password"
    secret.write_text("hunter2\n")
    secret.chmod(0o600)
    return [
        *("--alyx-url", "https://alyx.example.org", "--alyx-user", "transfer_bot"),
        *("--alyx-password-file", str(secret), "--lab", "cortexlab", "--lab-repository", "cortexlab_SR"),
        *("--lab-root", str(tmp_path / "Subjects"), "--work", "disk", "--store", "flatiron_cortexlab"),
        *("--transport", "local", "--store-root", str(tmp_path / "central")),
    ]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "etc" / "config.toml"


def run(file: Path, *arguments: str) -> int:
    return main(["--config", str(file), "init", *arguments])


def test_the_config_loads_again(told: list[str], file: Path) -> None:
    assert run(file, *told) == 0

    settings = load(file, {})
    assert settings.alyx.user == "transfer_bot"
    assert settings.labs["cortexlab"].work == "disk"
    assert settings.stores["flatiron_cortexlab"].transport == "local"


def test_an_sftp_config_loads_again(told: list[str], file: Path, tmp_path: Path) -> None:
    sftp = ["--transport", "sftp", "--store-host", "store.example.org", "--store-user", "ibl"]
    sftp += ["--store-port", "2222", "--store-root", "/mnt/ibl/cortexlab/Subjects"]
    key, hosts = tmp_path / "id_ed25519", tmp_path / "known_hosts"
    for needed in (key, hosts):
        needed.write_text("x")
        needed.chmod(0o600)
    keys = ["--store-key", str(key), "--known-hosts", str(hosts)]

    assert run(file, *told[: told.index("--transport")], *sftp, *keys) == 0

    store = load(file, {}).stores["flatiron_cortexlab"]
    assert (store.transport, store.options.model_dump()["port"]) == ("sftp", 2222)
    assert store.options.model_dump()["key"] == key


def test_an_sftp_store_without_a_key_uses_the_agent(told: list[str], file: Path) -> None:
    sftp = ["--transport", "sftp", "--store-host", "store.example.org", "--store-user", "ibl"]

    assert run(file, *told[: told.index("--transport")], *sftp, "--store-root", "/mnt/ibl") == 0

    assert load(file, {}).stores["flatiron_cortexlab"].options.model_dump()["agent"] is True


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_the_config_is_for_its_owner_only(told: list[str], file: Path) -> None:
    run(file, *told)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_an_existing_config_is_kept_unless_forced(
    told: list[str], file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.parent.mkdir()
    file.write_text("# mine\n")

    assert run(file, *told) == 2
    assert file.read_text() == "# mine\n"
    assert "--force" in capsys.readouterr().err

    assert run(file, *told, "--force") == 0
    assert "cortexlab" in file.read_text()


def test_without_a_terminal_all_missing_options_are_named_at_once(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(file, "--transport", "sftp", "--work", "dsk") == 2

    err = capsys.readouterr().err
    for option in ("--alyx-url", "--lab", "--lab-root", "--store", "--store-host", "--store-user"):
        assert option in err
    assert '--work is "dsk"' in err
    assert not file.exists()


def test_a_missing_transport_tells_what_it_would_need_besides(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(file, "--lab", "cortexlab") == 2
    assert "With --transport sftp also: --store-host --store-user." in capsys.readouterr().err


def test_an_option_of_the_other_transport_is_refused(
    told: list[str], file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(file, *told, "--store-host", "store.example.org") == 2
    assert "--store-host" in capsys.readouterr().err


def test_a_relative_folder_is_written_absolute(
    told: list[str], file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told[told.index("--lab-root") + 1] = "Subjects"
    told[told.index("--store-root") + 1] = "central"

    run(file, *told)

    settings = load(file, {})
    assert settings.labs["cortexlab"].root == tmp_path / "Subjects"
    assert settings.stores["flatiron_cortexlab"].options.model_dump()["root"] == tmp_path / "central"


def test_on_a_terminal_only_what_is_missing_is_asked(
    told: list[str], file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong choice is asked again."""
    asked: list[str] = []
    answers = iter(["sideways", "disk", "transfer_bot"])

    def answer(question: str) -> str:
        asked.append(question)
        return next(answers)

    monkeypatch.setattr(init, "_at_a_terminal", lambda: True)
    monkeypatch.setattr("builtins.input", answer)
    for gone in ("--work", "--alyx-user"):
        del told[told.index(gone) : told.index(gone) + 2]
    answers = iter(["transfer_bot", "sideways", "disk"])

    assert run(file, *told) == 0
    assert [question.split()[0] for question in asked] == ["Your", "Where", "Where"]
    assert load(file, {}).labs["cortexlab"].work == "disk"


def test_the_end_of_input_at_a_question_is_an_interruption(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang_up(_question: str) -> str:
        raise EOFError

    monkeypatch.setattr(init, "_at_a_terminal", lambda: True)
    monkeypatch.setattr("builtins.input", hang_up)

    assert run(file) == 130
    assert not file.exists()


def test_what_is_still_to_do_is_said(
    told: list[str], file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "password").unlink()

    assert run(file, *told) == 0

    out = capsys.readouterr().out
    assert "Before it can be used" in out
    assert "alyx.password_file" in out


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1))
def test_whatever_is_answered_toml_gives_it_back(words: str) -> None:
    keys = ("alyx_url", "alyx_user", "lab", "lab_repository", "store", "store_root", "store_host")
    answers = dict.fromkeys(keys, words) | {"lab_root": "/a", "work": "disk", "transport": "sftp"}

    tree = tomllib.loads(first_config.rendered(answers))

    assert tree["alyx"] == {"url": words, "user": words}
    assert tree["labs"][words]["store"] == words
    assert tree["stores"][words]["root"] == words


def test_every_question_is_an_option(told: list[str], file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", "--help"])

    shown = capsys.readouterr().out
    for question in first_config.QUESTIONS:
        assert question.option in shown
