"""A small lab on a sandbox Alyx, and a client that is logged in to it."""

from collections.abc import Iterator

import httpx2
import pytest
from small_lab import Lab, furnish

from sandbox.alyx import SandboxAlyx


@pytest.fixture
def lab() -> Iterator[Lab]:
    with SandboxAlyx() as alyx:
        eid = furnish(alyx)
        headers = {"Authorization": f"Token {alyx.token_for('rig')}"}
        with httpx2.Client(base_url=alyx.url, headers=headers, timeout=20) as http:
            yield Lab(alyx, http, eid)
