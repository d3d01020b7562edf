"""`alyx-transfer rebuild`: a lost ledger made anew from Alyx and the store."""

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from cli import failures, output
from cli.desk import Desk, at_desk
from transfer.errors import NothingFound, TransferError

if TYPE_CHECKING:
    from transfer.catalog.base import Catalog
    from transfer.rebuilding import Rebuilt


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rebuild")(rebuild)


def rebuild(
    context: typer.Context,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="What happened; kept in the audit log.")],
    lab: Annotated[str | None, typer.Argument(help="A lab of the config; all of them if left out.")] = None,
    as_json: output.Json = False,
) -> None:
    """Write down what Alyx knows of the labs' files, after the ledger was lost; the workers prove it all anew.

    Takes the labs' repositories over, as recover does.  May be repeated; what the ledger knows is left alone.
    """
    from config import wiring

    told: dict[str, Rebuilt] = {}
    stopped: list[TransferError] = []
    with at_desk(context) as desk, closing(wiring.catalog(desk.settings)) as catalog:
        for name in _labs(desk, lab):
            try:
                told[name] = _rebuilt(desk, catalog, name, why)
            except TransferError as error:
                stopped.append(error)
    _say(told, as_json=as_json)
    for one in stopped:
        output.complain(output.visible(failures.sentence(one)))
    raise typer.Exit(failures.common_code(stopped))


def _labs(desk: Desk, lab: str | None) -> list[str]:
    labs = list(desk.settings.labs)
    if lab is not None and lab not in labs:
        known = ", ".join(labs) or "there is none"
        raise NothingFound("the config has no such lab", to=lab, do=f"Its labs: {known}.")
    return labs if lab is None else [lab]


def _rebuilt(desk: Desk, catalog: "Catalog", name: str, why: str) -> "Rebuilt":
    """Ownership first: whoever else speaks for the repository stops before anything is written down."""
    from config import wiring
    from transfer import agent
    from transfer.ledger import endpoints
    from transfer.rebuilding import rebuild as written_down

    lab = wiring.lab(desk.settings, name)
    endpoints.ensure(desk.ledger, desk.endpoint_names)
    desk.ledger.identity()
    with desk.ledger.unguarded() as tx:
        tx.log("ledger", [("ledger", "rebuilt", None, None, why)], {"lab": name})
    agent.take_over(desk.ledger, catalog, lab, version=wiring.version())
    return written_down(desk.ledger, catalog, lab)


def _say(told: "dict[str, Rebuilt]", *, as_json: bool) -> None:
    if as_json:
        rows = [
            {"lab": name, "files": one.files, "known": one.known, "left_out": dict(one.left_out)}
            for name, one in told.items()
        ]
        output.document(rows)
        return
    for name, one in told.items():
        line = f"{name}: {one.files} files written down, {one.known} were known"
        output.say(output.visible(line))
        for reason, count in sorted(one.left_out.items()):
            output.say(output.visible(f"  left out: {count}, {reason}"))
    if any(one.files for one in told.values()):
        output.say("The workers prove each of them now: alyx-transfer status shows how far they are.")
