"""`alyx-transfer scan`: look for sessions that need a visit, now instead of at the next round."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from socket import gethostname
from typing import TYPE_CHECKING, Annotated

import typer

from cli import failures, output
from cli.desk import Desk, at_desk
from transfer.errors import NothingFound, TransferError

if TYPE_CHECKING:
    from config.sections import Settings


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("scan")(scan)


def scan(
    context: typer.Context,
    lab: Annotated[str | None, typer.Argument(help="A lab of the config; all of them if left out.")] = None,
    as_json: output.Json = False,
) -> None:
    """Look for sessions that need a visit now, and ring the workers.  Moves nothing itself."""
    with at_desk(context) as desk:
        labs = list(desk.settings.labs)
        if lab is not None and lab not in labs:
            known = ", ".join(labs) or "there is none"
            raise NothingFound("the config has no such lab", to=lab, do=f"Its labs: {known}.")
        wanted = [lab] if lab is not None else labs
        asked = _asked(desk, wanted)
        found, stopped, due = _scan(desk, [name for name in wanted if name not in asked])
        told = {name: asked.get(name) or found[name] for name in wanted if name in asked or name in found}
        rung = _ring(desk.settings, due)
    if as_json:
        output.document({"labs": told, "due": sum(map(len, due.values())), "rung": rung})
    else:
        for name, outcome in told.items():
            output.say(output.visible(f"{name}: {outcome}"))
        if any(due.values()) and not rung:
            output.say("No worker could be rung; one that runs finds them by itself within a minute.")
    for error in stopped:
        output.complain(output.visible(failures.sentence(error)))
    raise typer.Exit(failures.common_code(stopped))


def _asked(desk: Desk, names: Sequence[str]) -> dict[str, str]:
    """Of the labs whose folder is not here: whose worker, on another machine, was asked to look."""
    from config import doorbell
    from config.queues import of_lab
    from config.rounds import NOW, SCAN
    from transfer.ledger.glance import crew

    told: dict[str, str] = {}
    for name in names:
        hosts = [
            one.host
            for one in crew.workers(desk.ledger)
            if one.standing == "alive" and one.host != gethostname() and name in one.duty.split(", ")
        ]
        if hosts and not desk.settings.labs[name].root.is_dir():
            rung = doorbell.ring(desk.settings.broker.url, SCAN, name, NOW, queue=of_lab(name))
            told[name] = f"the worker on {hosts[0]} " + (
                "was asked to look" if rung else "could not be asked"
            )
    return told


def _scan(
    desk: Desk, names: Sequence[str]
) -> tuple[dict[str, str], list[TransferError], dict[str, list[int]]]:
    """What each lab's scan said, those that failed, and each lab's sessions that are due now."""
    from config import wiring

    told: dict[str, str] = {}
    stopped: list[TransferError] = []
    with closing(wiring.catalog(desk.settings)) as catalog:
        runner = wiring.runner(desk.settings, ledger=desk.ledger, catalog=catalog)
        rounds = wiring.rounds(desk.settings, runner)
        for name in names:
            try:
                outcome = rounds.scan(wiring.lab(desk.settings, name))
            except TransferError as error:
                stopped.append(error)
            else:
                told[name] = outcome or "another process is scanning it now"
        return told, stopped, {lab.name: runner.due_sessions(lab) for lab in runner.labs}


def _ring(settings: "Settings", due: Mapping[str, Sequence[int]]) -> bool:
    """Ring for each; False when nobody can hear it: over memory:// a ring does not leave this process."""
    from config import doorbell
    from config.queues import of_lab
    from config.rounds import VISIT

    url = settings.broker.url
    return not url.startswith("memory://") and all(
        doorbell.ring(url, VISIT, session, queue=of_lab(lab)) for lab, some in due.items() for session in some
    )
