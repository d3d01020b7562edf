"""The crash matrix, bounded for every day: the rounds in which a wrong order of the publish protocol hurts most.

`python -m tests.crash` plays hundreds (docs/reliability.md).  Here each transport has a worker that is paused before it
renames, while another client registers a newer file, and one that dies while it takes over what a dead one left.
"""

import os

import pytest

from tests.crash.matrix import LIE_BOUND_MS, run
from tests.crash.stage import Transport, missing

_RENAME: dict[Transport, str] = {
    "sftp": "sftp posix-rename@openssh.com",
    "ftp": "ftp RNTO",
    "local": "disk renaming",
    "globus": "globus operation/endpoint/<id>/rename",
}
_TAKE_OVER: dict[Transport, str] = {
    "sftp": "sftp remove",
    "ftp": "ftp DELE",
    "local": "disk removing",
    "globus": "globus transfer",
}


def _have(transport: Transport) -> None:
    lacking = missing(transport)
    if lacking:
        pytest.fail(lacking) if os.environ.get("CI") == "true" else pytest.skip(lacking)


@pytest.mark.timeout(300)  # real processes: on a busy machine they take their time
@pytest.mark.parametrize("transport", ["sftp", "ftp", "local", "globus"])
def test_killed_and_paused_workers_lose_and_announce_nothing_wrong(transport: Transport) -> None:
    """Every file stands at the store once, as it is in the lab, and Alyx says so of exactly those."""
    _have(transport)
    # The sixth: the first ones are the store's trial, whoever makes it.
    paused_before_rename = f"calm|pause|before|{_RENAME[transport]}|6|patch|0.0|4"
    killed_taking_over = f"heir|kill|after|{_TAKE_OVER[transport]}|1||0.0|3"
    result = run(transport, seed=1, rounds=0, again=[paused_before_rename, killed_taking_over])
    assert result.failures == []
    assert result.good
    assert (result.kills, result.pauses, result.patches) == (1, 1, 1)


@pytest.mark.timeout(300)
def test_a_wrong_announcement_is_seen_and_ends_with_lease_and_sweep() -> None:
    """Another client writes just before our PATCH and we die just after it: the one lie that cannot be helped."""
    result = run("local", seed=1, rounds=0, again=["calm|ambush|after|PATCH /files/<id>|2|patch|0.0|4"])
    assert result.failures == []
    assert 0 < result.lie_ms_patched < LIE_BOUND_MS


@pytest.mark.timeout(300)
def test_a_fault_that_never_struck_fails_its_round() -> None:
    """A run proves nothing about a place it did not come by."""
    result = run("local", seed=1, rounds=0, again=["calm|kill|before|disk formatting|1||0.0|1"])
    assert result.unreached == 1
    assert not result.good
