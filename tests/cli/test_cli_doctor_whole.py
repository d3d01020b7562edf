"""`alyx-transfer doctor` against an Alyx and an SFTP server that run: the real thing from end to end."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from paramiko import ECDSAKey

from cli.main import main
from sandbox.alyx import SandboxAlyx
from sandbox.store import SftpStore


@dataclass
class Installation:
    alyx: SandboxAlyx
    store: SftpStore
    config: Path


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """A lab, its Alyx and its central store, all on loopback, and the config that names them."""
    lab, central = tmp_path / "Subjects", tmp_path / "central" / "cortexlab" / "Subjects"
    (lab / "KS055").mkdir(parents=True)
    central.mkdir(parents=True)
    with ExitStack() as running:
        alyx = running.enter_context(SandboxAlyx())
        alyx.add_user("transfer_bot", password="hunter2")
        alyx.add_repository("cortexlab_SR", globus_path=f"{lab}/", personal=True)
        alyx.add_repository(
            "flatiron_cortexlab",
            globus_path="/cortexlab/Subjects/",
            data_url="https://ibl.example.org/cortexlab/Subjects/",
        )
        alyx.add_lab("cortexlab", ["cortexlab_SR", "flatiron_cortexlab"])
        sftp = SftpStore(tmp_path / "central", home=tmp_path / "sftp", server="embedded")
        store = running.enter_context(sftp)
        config = tmp_path / "config.toml"
        config.write_text(f"""
[alyx]
url = "{alyx.url}"
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
transport = "sftp"
host = "{store.host}"
port = {store.port}
user = "{store.user}"
root = "{store.root}/cortexlab/Subjects"
key = "{store.key}"
host_key = "{store.host_key}"
""")
        config.chmod(0o600)
        yield Installation(alyx, store, config)


def examine(config: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, dict[str, str]]]:
    code = main(["--config", str(config), "doctor", "--json"])
    return code, {row["check"]: row for row in json.loads(capsys.readouterr().out)}


def test_a_running_installation_has_no_problem(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = examine(installation.config, capsys)

    assert {row["check"]: row["sentence"] for row in found.values() if row["outcome"] == "problem"} == {}
    assert found["store probe"]["outcome"] == "ok"
    assert code == 0
    assert [path for path in installation.store.root.rglob("*") if path.is_file()] == []


def test_a_wrong_password_and_a_changed_host_key_are_told_together(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    other = ECDSAKey.generate()
    lines = installation.config.read_text().replace("hunter2", "hunter3").splitlines()
    lines = [line for line in lines if not line.startswith("host_key")]
    lines.append(f'host_key = "{other.get_name()} {other.get_base64()}"')
    installation.config.write_text("\n".join(lines))

    code, found = examine(installation.config, capsys)

    assert found["alyx login"]["code"] == "E-3003"
    assert found["store connection"]["code"] == "E-2005"
    assert found["store probe"]["outcome"] == "not checked"
    assert code == 4
    assert "hunter3" not in json.dumps(found)


def test_an_alyx_that_is_gone_is_a_matter_of_time(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    text = installation.config.read_text().replace(installation.alyx.url, "http://127.0.0.1:1")
    installation.config.write_text(text)

    code, found = examine(installation.config, capsys)

    assert found["alyx login"]["code"] == "E-3001"
    assert code == 5
