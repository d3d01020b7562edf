"""`alyx-transfer why`: one sentence for a file or a session: where it is, why not further, what comes next."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.desk import at_desk
from cli.incidents import page

if TYPE_CHECKING:
    from transfer.ledger import Ledger
    from transfer.ledger.finding import Target


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("why")(why)


def why(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="FILE|SESSION",
            help="A path on the lab machine or the end of it, a dataset's uuid, or an item's number.",
        ),
    ],
    as_json: output.Json = False,
) -> None:
    """Say where a file or a session is, why it is not further, and what happens next."""
    from transfer.ledger.why import why as explained

    with at_desk(context) as desk:
        target = desk.find(name, "file", "session")
        explanation = explained(desk.ledger, target)
        more = page_of(desk.ledger, target)
    if as_json:
        told = {"kind": target.kind, "name": target.name, **asdict(explanation)}
        output.document({**told, "page": more})
        return
    when = f", {output.text(explanation.at)}" if explanation.at else ""
    output.say(output.visible(explanation.sentence))
    if more:
        output.say(f"More: {more}")
    output.say(output.visible(f"Next ({explanation.owner}{when}): {explanation.next_step}."))


def page_of(ledger: "Ledger", target: "Target") -> str | None:
    """Where to read more of what keeps the file or session from going on; None where nothing does."""
    from transfer.ledger import reports

    if target.kind == "session":
        held = reports.sessions(ledger, session=target.row)
        return page(held[0].hold) if held else None
    rows = reports.files(ledger, dataset=target.row, item=target.item)
    return page(rows[-1].hold or rows[-1].error) if rows else None
