"""What `alyx-transfer doctor` says of the workers: who lives, of which version, and whether each part is taken."""

from typing import TYPE_CHECKING

from cli.bench import Bench, Check, Note
from config import wiring

if TYPE_CHECKING:
    from transfer.ledger.glance.crew import Worker


def workers(bench: Bench, _subject: str) -> str:
    """No worker is no problem: `push` needs none."""
    from transfer.ledger.glance import crew

    opened = wiring.ledger(bench.settings)
    try:
        alive = [one for one in crew.workers(opened) if one.standing == "alive" and one.version]
    finally:
        opened.engine.dispose()
    if not alive:
        raise Note(
            "no worker runs; start one where nobody types push: alyx-transfer worker "
            "(on one machine with --embedded-beat)"
        )
    versions = sorted({one.version for one in alive})
    if len(versions) > 1:
        raise Note(f"workers of versions {', '.join(versions)} run; restart those that are older")
    missing = untaken(alive, list(bench.settings.labs))
    if missing:
        raise Note(f"{len(alive)} workers run, and none takes {', '.join(missing)}")
    return f"{len(alive)} of version {versions[0]} run, and take all that the config names"


def rounds(bench: Bench, _subject: str) -> str:
    """What beat rings for is walked; whether it rings is seen by that alone."""
    from cli.status import unwalked
    from config.upcoming import with_rounds
    from transfer.ledger import reports

    opened = wiring.ledger(bench.settings)
    try:
        found = with_rounds(reports.check(opened), bench.settings, opened)
    finally:
        opened.engine.dispose()
    if found.unwalked:
        raise Note(f"{unwalked(found.unwalked)}: does a beat run, and a central worker?")
    return "none is overdue" if found.versions else "no worker runs, so none is expected"


def untaken(alive: "list[Worker]", labs: list[str]) -> list[str]:
    """The labs, and "central", that none of these takes."""
    taken = {word.strip() for one in alive for word in one.duty.split(",")}
    return [part for part in (*labs, "central") if part not in taken]


WORKER_CHECKS = (
    Check("workers", "installation", workers, needs=("ledger",)),
    Check("rounds", "installation", rounds, needs=("ledger",)),
)
