"""What a person or the world gets wrong: one clear sentence, the documented exit code, no stack trace, nothing lost.

`Running.run` fails on any stack trace.
"""

import errno
import re
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from paramiko import ECDSAKey

from cli.main import main
from tests.cli.running import LAB, LAB_SERVER, STORE, SUBJECT, Running
from tests.servers import free_port
from transfer.transports.sftp.store import Space

SESSION = f"{SUBJECT}/2026-03-04/001"
SENTENCE = re.compile(r"\[E-\d{4}\] [^\n]+: [^\n]+\. [^\n]+\n")


def complaint(told: tuple[int, str, str]) -> tuple[int, str, str]:
    """Exit code, error code and the sentence, which must be the only line on standard error."""
    code, _, err = told
    assert SENTENCE.fullmatch(err), err
    return code, err[1:7], err


# ---- the config


def test_a_missing_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--config", str(tmp_path / "nowhere.toml"), "push", "x"])

    told = capsys.readouterr()
    assert code == 3
    assert "there is no such config" in told.err
    assert "alyx-transfer init" in told.err


def test_an_unknown_option(lab: Running) -> None:
    code, out, err = lab.run("push", "--frobnicate", "x")

    assert (code, out) == (2, "")
    assert err.endswith("Error: No such option: --frobnicate\n")


# ---- names that are none


def test_an_unknown_lab(lab: Running) -> None:
    code, kind, sentence = complaint(lab.run("scan", "hoferlab"))
    assert (code, kind) == (2, "E-4008")
    assert f"Its labs: {LAB}." in sentence


@pytest.mark.parametrize("command", ["status", "why"])
def test_an_unknown_session(lab: Running, command: str) -> None:
    code, kind, sentence = complaint(lab.run(command, "KS099/2026-01-01/001"))
    assert (code, kind) == (2, "E-4008")
    assert "KS099/2026-01-01/001" in sentence


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("/etc", "this folder is in no lab's data folder"),
        ("{root}", "this is no session folder"),
        ("{root}/KS055", "this is no session folder"),
        ("{root}/KS055/2026-13-04/001", "this is no session folder"),
        ("{root}/KS055/2026-03-04/001/alf", "this is inside a session"),
        ("{root}/KS055/2026-03-04/009", "there is no such folder"),
        ("{root}/KS055/2026-03-04/001/../../../../..", "this folder is in no lab's data folder"),
    ],
)
def test_a_folder_that_is_no_session(lab: Running, folder: str, said: str) -> None:
    """Told before anything moves, the good folder beside it too."""
    good = lab.session()
    code, kind, sentence = complaint(lab.run("push", good, folder.format(root=lab.root)))
    assert (code, kind) == (2, "E-1006")
    assert said in sentence
    assert lab.stored() == []
    assert not lab.ledger.exists()


def test_an_unmounted_lab_folder(lab: Running) -> None:
    session = lab.session()
    lab.root.rename(lab.folder / "elsewhere")
    code, kind, _ = complaint(lab.run("push", session))
    assert (code, kind) == (5, "E-1005")


# ---- Alyx


def test_a_wrong_password(lab: Running) -> None:
    lab.configure(password="hunter3")
    code, kind, sentence = complaint(lab.run("push", lab.session()))
    assert (code, kind) == (4, "E-3003")
    assert "hunter3" not in sentence


def test_an_alyx_that_is_away(lab: Running) -> None:
    lab.configure(url=f"http://127.0.0.1:{free_port()}")
    assert complaint(lab.run("push", lab.session()))[:2] == (5, "E-3001")


def test_a_repository_alyx_does_not_know(lab: Running) -> None:
    lab.configure(repository="cortexlab_XY")
    code, _, sentence = complaint(lab.run("push", lab.session()))
    assert code == 6
    assert "cortexlab_XY" in sentence


def test_a_second_ledger_for_the_same_repository(lab: Running) -> None:
    """Two installations must not move one lab's files; a person may take it over."""
    session = lab.session()
    lab.run("push", session)
    lab.ledger.rename(lab.folder / "other.sqlite")
    for file in lab.folder.glob("ledger.sqlite-*"):
        file.unlink()

    for words in (["push", session], ["push", "--dry-run", session]):
        code, kind, sentence = complaint(lab.run(*words))
        assert (code, kind) == (6, "E-4004")
        assert LAB_SERVER in sentence
        assert "alyx-transfer recover" in sentence

    assert lab.run("recover", "--why", "the old machine is gone")[0] == 0
    assert lab.run("push", session)[0] == 0


def test_a_session_alyx_does_not_know(lab: Running) -> None:
    code, out, _ = lab.run("push", lab.session(known=False))
    assert code == 6
    assert f"Alyx has no such session: {SESSION}. Create the session in Alyx" in out


def test_a_file_whose_type_alyx_does_not_know(lab: Running) -> None:
    session = lab.session()
    lab.write(session, "alf/blurb.npy", b"x")
    code, out, _ = lab.run("push", session)
    assert code == 0
    assert re.search(r"alf/blurb.npy +unregistrable .*No dataset type of Alyx matches 'blurb.npy'", out)


# ---- the store


def changed_key(lab: Running) -> None:
    other = ECDSAKey.generate()
    lab.configure(host_key=f"{other.get_name()} {other.get_base64()}")


def unknown_key(lab: Running) -> None:
    empty = lab.folder / "known_hosts"
    empty.touch()
    lab.configure(host_key=None)
    with lab.config.open("a") as config:
        config.write(f'\nknown_hosts = "{empty}"\n')


def stranger(lab: Running) -> None:
    other = lab.folder / "other_key"
    ECDSAKey.generate().write_private_key_file(str(other))
    lab.configure(key=str(other))


def away(lab: Running) -> None:
    lab.configure(port=free_port())


@pytest.mark.parametrize(
    ("spoil", "code", "kind"),
    [
        (changed_key, 4, "E-2005"),
        (unknown_key, 4, "E-2004"),
        (stranger, 4, "E-2003"),
        (away, 5, "E-2002"),
    ],
)
def test_a_store_that_cannot_be_used(
    lab: Running, spoil: Callable[[Running], None], code: int, kind: str
) -> None:
    """Said once, for all files; and when it is cured the next push ends the work."""
    config = lab.config.read_text()
    session = lab.session()
    spoil(lab)

    for _ in range(2):
        assert complaint(lab.run("push", session))[:2] == (code, kind)
    told = lab.json("push", session)
    assert (told["exit_code"], told["places"][0]["code"]) == (code, kind)
    assert lab.announced() == []

    lab.config.write_text(config)
    assert lab.run("push", session)[0] == 0
    assert len(lab.announced()) == 1


def test_a_full_store(lab: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    session = lab.session()

    def full(operation: str, path: str) -> None:
        if operation == "write":
            raise OSError(errno.ENOSPC, "no space left", path)

    lab.before = full

    def no_room(_store: object) -> Generator[object, None, Space]:
        yield from ()
        return Space(free=0, names=9, read_only=False)

    with monkeypatch.context() as patched:
        patched.setattr("transfer.transports.sftp.store.Store.space", no_room)
        code, kind, sentence = complaint(lab.run("push", session))

    assert (code, kind) == (5, "E-2006")
    assert "Workers try flatiron_cortexlab again at" in sentence
    assert lab.stored() == []
    lab.before = None
    assert lab.run("push", session)[0] == 0


def test_a_path_longer_than_the_store_takes(lab: Running) -> None:
    """The file is held with what to do; the others go on."""
    deep = lab.folder / "central"
    while len(str(deep)) < 4095 - 110:
        deep /= "d" * min(200, 4095 - 110 - len(str(deep)))
    deep.mkdir(parents=True)
    lab.keep_on_disk(deep)
    session = lab.session()
    lab.write(session, f"alf/spikes.times.{'x' * 60}.npy", b"long")

    code, out, _ = lab.run("push", session)

    assert code == 6
    assert re.search(r"x+\.npy +\w+ .*held \(path-too-long\): the name is too long for the store", out), out
    assert lab.announced() == [f"{SESSION}/alf/spikes.times.npy"]


def test_a_name_longer_than_any_store_takes(lab: Running) -> None:
    session = lab.session()
    lab.write(session, f"alf/spikes.times.{'x' * 210}.npy", b"long")

    code, out, _ = lab.run("push", session)

    assert code == 6
    assert "[E-1009] with a dataset's uuid in it the name has more than 255 bytes" in out
    assert lab.announced() == [f"{SESSION}/alf/spikes.times.npy"]


# ---- the lab's files


def test_an_unreadable_file(lab: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps no other file back.  (Root reads everything, so the refusal is ours.)"""
    from transfer.steps import discover

    session = lab.session()
    secret = lab.write(session, "alf/clusters.depths.npy", b"x")
    real = discover.digest_file

    def refusing(path: Path, **options: object) -> object:
        if path == secret:
            raise discover.SourceUnreadable("the file cannot be read (Permission denied)", to=path)
        return real(path, **options)

    monkeypatch.setattr(discover, "digest_file", refusing)
    code, out, _ = lab.run("push", session)

    assert code == 6
    assert f"[E-1001] the file cannot be read (Permission denied): {secret}. Give the worker's account" in out
    assert lab.announced() == [f"{SESSION}/alf/spikes.times.npy"]
    monkeypatch.undo()
    assert lab.run("push", session)[0] == 0


def test_a_defect_of_ours_is_held_and_said(lab: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("transfer.runner.visit", broken)
    monkeypatch.setattr("transfer.runner.log.exception", lambda *_: None)
    code, out, _ = lab.run("push", lab.session())

    assert code == 6
    assert "ZeroDivisionError: division by zero" in out
    assert "This is a defect of alyx-transfer" in out


def test_a_database_that_is_away(lab: Running) -> None:
    session = lab.session()
    lab.ledger.mkdir()
    code, kind, _ = complaint(lab.run("push", session))
    assert (code, kind) == (5, "E-4002")


@pytest.mark.parametrize("name", [STORE, LAB_SERVER])
def test_a_place_is_no_session(lab: Running, name: str) -> None:
    lab.run("push", lab.session())
    assert complaint(lab.run("status", name))[:2] == (2, "E-4008")
