"""What several tests of commands ask for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.web_store import WebStore
from tests.cli.installed import Installed, install
from tests.cli.readers import readers
from tests.cli.running import Running, running


@pytest.fixture
def installed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Installed]:
    """An installation whose user is anne."""
    monkeypatch.setenv("LOGNAME", "anne")
    made = install(tmp_path, capsys)
    yield made
    made.place.close()


@pytest.fixture
def lab(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Running]:
    """A lab whose Alyx and store run, and whose user is anne."""
    monkeypatch.setenv("LOGNAME", "anne")
    with running(tmp_path, capsys) as made:
        yield made


@pytest.fixture
def web(lab: Running) -> Iterator[WebStore]:
    """The lab's store as its readers see it."""
    with readers(lab) as made:
        yield made
