"""Which drills there are, in the lab's words, and which profiles they make."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rehearsal.configuring import Scenery
from rehearsal.drills import alyx, machine, network, store
from rehearsal.protections import PROTECTIONS, Protection
from rehearsal.stage import Stage
from transfer.errors import NothingFound

QUICK = "quick"


@dataclass(frozen=True, kw_only=True, slots=True)
class Drill:
    """One thing that goes wrong.  `staged` says what, as a lab would; `play` does it."""

    name: str
    group: str
    staged: str
    play: Callable[[Stage], None]
    scenery: Scenery
    quick: bool = False


DRILLS = (
    Drill(
        name="latency",
        group="network",
        staged="the store is far away: 60 ms for every question and its answer",
        play=network.latency,
        scenery=network.FAR,
    ),
    Drill(
        name="resets",
        group="network",
        staged="the connection breaks in the middle of a file, twice",
        play=network.resets,
        scenery=network.FAR,
        quick=True,
    ),
    Drill(
        name="stall",
        group="network",
        staged="the line falls silent in the middle of a file and stays open",
        play=network.stall,
        scenery=network.IMPATIENT,
    ),
    Drill(
        name="wire",
        group="network",
        staged="a bit is turned over on the line to the store",
        play=network.wire,
        scenery=network.FAR,
    ),
    Drill(
        name="host-key",
        group="network",
        staged="a server with another key answers in the store's place; later the old one is back",
        play=store.host_key,
        scenery=store.OVER_SFTP,
        quick=True,
    ),
    Drill(
        name="full",
        group="store",
        staged="the store's disk is full for a while (scripted)",
        play=store.full,
        scenery=store.MOUNTED,
        quick=True,
    ),
    Drill(
        name="quota",
        group="store",
        staged="the account's quota at the store is used up for a while (scripted)",
        play=store.quota,
        scenery=store.MOUNTED,
    ),
    Drill(
        name="damage",
        group="store",
        staged="two files arrive with one bit turned over",
        play=store.damage,
        scenery=store.OVER_SFTP,
        quick=True,
    ),
    Drill(
        name="lying-hash",
        group="store",
        staged="the same, and the store's hash command answers without looking (scripted)",
        play=store.lying_hash,
        scenery=store.OVER_SFTP,
        quick=True,
    ),
    Drill(
        name="rot",
        group="store",
        staged="a bit turns over in two stored files, after they were verified and announced",
        play=store.rot,
        scenery=store.MOUNTED,
        quick=True,
    ),
    Drill(
        name="globus-damage",
        group="store",
        staged="a bit is turned over in two files while Globus carries them",
        play=store.globus_damage,
        scenery=store.THROUGH_GLOBUS,
    ),
    Drill(
        name="token",
        group="store",
        staged="the login at Globus has expired; later somebody logs in again",
        play=store.token,
        scenery=store.AS_A_PERSON,
    ),
    Drill(
        name="alyx-broken",
        group="alyx",
        staged="Alyx answers some requests with 500",
        play=alyx.broken,
        scenery=alyx.ANY,
    ),
    Drill(
        name="alyx-throttled",
        group="alyx",
        staged="Alyx says 429 and asks to wait",
        play=alyx.throttled,
        scenery=alyx.ANY,
    ),
    Drill(
        name="alyx-slow",
        group="alyx",
        staged="Alyx takes its time to answer",
        play=alyx.slow,
        scenery=alyx.ANY,
    ),
    Drill(
        name="alyx-wrote",
        group="alyx",
        staged="Alyx answers 500 and has written all the same",
        play=alyx.wrote_all_the_same,
        scenery=alyx.ANY,
        quick=True,
    ),
    Drill(
        name="lost-answer",
        group="alyx",
        staged="the line to Alyx breaks while it makes a registration",
        play=alyx.lost_answer,
        scenery=alyx.BEHIND_A_LINE,
        quick=True,
    ),
    Drill(
        name="changed-meanwhile",
        group="alyx",
        staged="another tool registers a newer version just before our announcement",
        play=alyx.changed_meanwhile,
        scenery=alyx.ANY,
        quick=True,
    ),
    Drill(
        name="broker",
        group="machine",
        staged="the broker loses every ring for some seconds",
        play=machine.broker,
        scenery=machine.ANY,
    ),
    Drill(
        name="database",
        group="machine",
        staged="the ledger's database is away for a while, with files under way",
        play=machine.database,
        scenery=machine.ANY,
    ),
    Drill(
        name="clock",
        group="machine",
        staged="the machine's clock jumps an hour ahead and back, with files under way",
        play=machine.clock,
        scenery=machine.ANY,
    ),
    Drill(
        name="sleep",
        group="machine",
        staged="a worker sleeps for an hour in the middle of a batch, and another finishes it",
        play=machine.sleep,
        scenery=machine.ANY,
        quick=True,
    ),
)

GROUPS = tuple(dict.fromkeys(drill.group for drill in DRILLS))
PROFILES: Mapping[str, str] = {
    QUICK: "the drills of every group that show most in half a minute",
    "full": "every drill",
    "network": "the line to the store, and who answers there",
    "store": "what the store does to files",
    "alyx": "what Alyx and its other clients do",
    "machine": "what happens to the lab's own machine",
}


def drills_of(profile: str) -> list[Drill]:
    """The drills of a profile.  Raises `NothingFound`."""
    if profile not in PROFILES:
        raise NothingFound("there is no such profile", to=profile, do=f"There are: {', '.join(PROFILES)}.")
    return [
        drill for drill in DRILLS if profile in ("full", drill.group) or (profile == QUICK and drill.quick)
    ]


def protection(name: str) -> Protection:
    """A protection by its name.  Raises `NothingFound`."""
    for one in PROTECTIONS:
        if one.name == name:
            return one
    names = ", ".join(one.name for one in PROTECTIONS)
    raise NothingFound("there is no such protection", to=name, do=f"There are: {names}.")


def chosen(profile: str | None, unprotected: Protection | None) -> list[Drill]:
    """The drills to play: those of the profile, and of them only the one that an open protection is for.

    Raises `NothingFound` when that leaves none.
    """
    if unprotected is None:
        return drills_of(profile or QUICK)
    found = [drill for drill in drills_of(profile or "full") if drill.name == unprotected.drill]
    if not found:
        what = f"the profile {profile} has no drill that this protection is for"
        do = f'Leave --profile out: the drill is "{unprotected.drill}".'
        raise NothingFound(what, to=unprotected.name, do=do)
    return found
