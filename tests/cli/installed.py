"""An installation with a config, a lab's folder and a real ledger, for tests of a person's commands."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from tests.ledger.build import LAB, Place

CONFIG = """
[alyx]
url = "https://alyx.example.org"
user = "transfer_bot"
password = "hunter2"
[ledger]
url = "{ledger}"
[labs.{lab}]
repository = "{repository}"
root = "{root}"
work = "disk"
store = "{store}"
[stores.{store}]
transport = "local"
root = "{store_root}"
"""


@dataclass
class Installed:
    """`place` writes into the ledger as workers do; `run` is the command line."""

    folder: Path
    place: Place
    capsys: pytest.CaptureFixture[str]

    @property
    def root(self) -> Path:
        return self.place.lab.root

    def run(self, *words: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        self.capsys.readouterr()
        code = main(["--config", str(self.folder / "config.toml"), *words])
        told = self.capsys.readouterr()
        return code, told.out, told.err

    def json(self, *words: str) -> Any:
        """What a command that succeeds answers as JSON."""
        code, out, err = self.run(*words, "--json")
        assert code == 0, err
        return json.loads(out)


def install(folder: Path, capsys: pytest.CaptureFixture[str]) -> Installed:
    root, store = folder / "Subjects", folder / "store"
    root.mkdir()
    store.mkdir()
    url = f"sqlite:///{folder / 'ledger.sqlite'}"
    config = folder / "config.toml"
    config.write_text(
        CONFIG.format(
            ledger=url, lab=LAB.name, repository=LAB.repository, root=root, store=LAB.store, store_root=store
        )
    )
    config.chmod(0o600)
    place = Place(url, lab=replace(LAB, root=root))
    place.clock.now = datetime.now(UTC)
    return Installed(folder, place, capsys)
