"""The store: full, damaging what it is given, lying, not the one we know, or behind a login that has expired."""

import errno
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import PurePosixPath

from rehearsal.around import Damaging, HashesByName, turn_a_bit
from rehearsal.configuring import Scenery
from rehearsal.plan import Fault
from rehearsal.program import Way
from rehearsal.stage import Stage
from sandbox.box import STORE
from sandbox.sftp_files import Before
from sandbox.store import SftpStore
from transfer.errors import HostKeyChanged, MoverLoginExpired
from transfer.transports.globus.login import PersonalLogin
from transfer.transports.globus.options import GlobusOptions
from transfer.transports.local import LocalTransport

OVER_SFTP = Scenery()
MOUNTED = Scenery(store="local")
THROUGH_GLOBUS = Scenery(store="globus")
AS_A_PERSON = Scenery(store="globus", person=True)


def damage(stage: Stage) -> None:
    fault = Fault(2)
    stage.around.ways.append(_damaging(stage, fault))
    stage.plan.add("a bit turned over in a file that had just arrived", fault.times, lambda: fault.met)
    with stage.working():
        stage.settle()


def _damaging(stage: Stage, fault: Fault) -> Way:
    lab, store = stage.box.lab_root, stage.box.store_root
    return lambda real: Damaging(real, lab=lab, store=store, fault=fault)


def lying_hash(stage: Stage) -> None:
    fault, asked = Fault(2), Fault(1)
    stage.around.ways += [_damaging(stage, fault), lambda real: HashesByName(real, asked)]
    stage.plan.add("a bit turned over in a file that had just arrived", fault.times, lambda: fault.met)
    stage.plan.add("a digest that the store did not read from its disk", asked.times, lambda: asked.met)
    with stage.working():
        stage.settle()


def rot(stage: Stage) -> None:
    fault = Fault(2)
    stage.plan.add("a bit turned over in a file that stood at the store", fault.times, lambda: fault.met)
    # Nobody can know of it before the stored bytes are read again.
    stage.lies_allowed = True
    with stage.working():
        stage.settle()
        for place in sorted(stage.box.store_root.rglob("*.npy")):
            if place.stat().st_size and fault.strike():
                turn_a_bit(place)
        stage.audit()
        stage.settle()


def full(stage: Stage) -> None:
    _no_room(stage, errno.ENOSPC, "a write that the full disk refused")


def quota(stage: Stage) -> None:
    _no_room(stage, errno.EDQUOT, "a write beyond the quota")


def _no_room(stage: Stage, number: int, what: str) -> None:
    """The mounted disk's answer is scripted: to fill one for real takes a disk, or root's rights."""
    fault = Fault(3)

    def refuse(effect: str, _path: PurePosixPath) -> None:
        if effect == "writing-chunk" and fault.strike():
            raise OSError(number, "no room, as scripted")

    way: Way = lambda _real: LocalTransport(stage.box.store_root, observe=refuse)  # noqa: E731
    stage.around.ways.append(way)
    stage.plan.add(what, fault.times, lambda: fault.met)
    with stage.working():
        stage.settle()


def host_key(stage: Stage) -> None:
    """Another server answers in the store's place; it would let us in, and take what it is given."""
    touched: list[str] = []
    home = stage.box.root / "home" / "stranger"
    home.mkdir(mode=0o700)
    shutil.copy(stage.sftp.key, home / "client_key")
    with SftpStore(stage.box.store_root, home=home, before=_noting(touched)) as stranger:
        theirs, ours = (stranger.host, stranger.port), stage.line.server
        stage.line.server, stage.shown_key = theirs, stranger.host_key
        stage.plan.add("a connection to a server with another key", 1, lambda: stage.line.made[theirs])
        with stage.working():
            held = stage.expect_hold(HostKeyChanged)
            stage.line.server, stage.shown_key = ours, stage.sftp.host_key
            if held:
                stage.seen.append("the old key was put back, and the store resumed")
                stage.resume(STORE)
                stage.settle()
    if touched:
        stage.wrong.append(f"{len(touched)} requests were made of a server whose key nobody had confirmed")


def _noting(touched: list[str]) -> Before:
    return lambda operation, path: touched.append(f"{operation} {path}")


def token(stage: Stage) -> None:
    globus = stage.box.globus
    assert globus is not None, "the scenery has Globus"
    _log_in(stage, globus.approve)
    globus.expire_tokens()
    globus.revoke_refresh_tokens()
    before, refused = len(_logins(stage)), Fault(1)
    stage.plan.add("a login that Globus no longer takes", refused.times, lambda: refused.met)
    with stage.working():
        if stage.expect_hold(MoverLoginExpired):
            if len(_logins(stage)) > before:
                refused.strike()
            stage.seen.append("somebody logged in again, and the store was resumed")
            _log_in(stage, globus.approve)
            stage.resume(STORE)
            stage.settle()


def _logins(stage: Stage) -> list[tuple[str, str]]:
    """What was asked of Globus Auth."""
    globus = stage.box.globus
    assert globus is not None, "the scenery has Globus"
    return [one for one in globus.requests.all() if "token" in one[1]]


def _log_in(stage: Stage, approve: Callable[[str], str]) -> None:
    """What `alyx-transfer globus login` does, with a person who agrees."""
    options = stage.settings.stores[STORE].options
    assert isinstance(options, GlobusOptions), "the scenery has Globus"
    with PersonalLogin(options) as visit:
        visit.finish(approve(visit.url))


def globus_damage(stage: Stage) -> None:
    globus = stage.box.globus
    assert globus is not None, "the scenery has Globus"
    fault = globus.faults.flip("*", times=2)
    stage.plan.add("a bit turned over while Globus carried a file", 2, partial(getattr, fault, "reached"))
    with stage.working():
        stage.settle()
