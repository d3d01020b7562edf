"""What several tests of commands ask for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.installed import Installed, install


@pytest.fixture
def installed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Installed]:
    """An installation whose user is anne."""
    monkeypatch.setenv("LOGNAME", "anne")
    made = install(tmp_path, capsys)
    yield made
    made.place.close()
