"""`alyx-transfer why`: one sentence for a file or a session: where it is, why not further, what comes next."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli import output
from cli.desk import at_desk


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
    if as_json:
        output.document({"kind": target.kind, "name": target.name, **asdict(explanation)})
        return
    when = f", {output.text(explanation.at)}" if explanation.at else ""
    output.say(output.visible(explanation.sentence))
    output.say(output.visible(f"Next ({explanation.owner}{when}): {explanation.next_step}."))
