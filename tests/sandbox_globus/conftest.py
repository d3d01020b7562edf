"""A sandbox Globus between two folders, for the real SDK."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from rig_and_store import Lab, client_of

from sandbox.globus import Limits, SandboxGlobus


@pytest.fixture
def globus(monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxGlobus]:
    with SandboxGlobus(limits=Limits(retry_pause=0.005)) as service:
        for name, value in service.environment.items():
            monkeypatch.setenv(name, value)
        yield service


@pytest.fixture
def lab(globus: SandboxGlobus, tmp_path: Path) -> Iterator[Lab]:
    here, there = tmp_path / "lab", tmp_path / "store"
    here.mkdir()
    there.mkdir()
    source = globus.add_collection("rig 7", here, "personal")
    store = globus.add_collection("central store", there, "mapped")
    app, client = client_of(globus, store)
    with closing(app), closing(client):
        yield Lab(globus, app, client, here, there, source, store)
