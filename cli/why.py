"""`alyx-transfer why`: one sentence for a file or a session: where it is, why not further, what comes next."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli import output
from cli.asking import Server, TokenFile, asking
from cli.incidents import page


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
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Say where a file or a session is, why it is not further, and what happens next."""
    with asking(context, server, token_file) as asked:
        found = asked.why(name)
    explanation, more = found.explanation, page(found.keeps)
    if as_json:
        told = {"kind": found.kind, "name": found.name, **asdict(explanation)}
        output.document({**told, "page": more})
        return
    when = f", {output.text(explanation.at)}" if explanation.at else ""
    output.say(output.visible(explanation.sentence))
    if more:
        output.say(f"More: {more}")
    output.say(output.visible(f"Next ({explanation.owner}{when}): {explanation.next_step}."))
