"""The lab of `alyx_lab`, as fixtures."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from alyx_lab import DAY, LAB, PASSWORD, RIG, STORE, SUBJECT, USER, Rig

from sandbox.alyx import SandboxAlyx
from transfer.catalog.alyx import AlyxCatalog
from transfer.catalog.alyx_http import Patience


@pytest.fixture
def rig() -> Iterator[Rig]:
    with SandboxAlyx() as alyx:
        alyx.add_user(USER, password=PASSWORD)
        alyx.add_repository(RIG, globus_path="/mnt/s0/Data/Subjects/", personal=True)
        alyx.add_repository(STORE, globus_path=f"/{LAB}/Subjects/", data_url="http://127.0.0.1/x/")
        alyx.add_lab(LAB, repositories=[RIG, STORE])
        alyx.add_subject(SUBJECT, lab=LAB)
        eid = alyx.add_session(SUBJECT, DAY, 1, users=[USER])
        rig = Rig(alyx, eid)
        yield rig
        for catalog in rig.opened:
            catalog.close()


@pytest.fixture
def catalog(rig: Rig) -> AlyxCatalog:
    return rig.client()


@pytest.fixture
def impatient(rig: Rig) -> AlyxCatalog:
    """Tries once."""
    return rig.client(patience=Patience(tries=1, longest_wait=timedelta(0)))
