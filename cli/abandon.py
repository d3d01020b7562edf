"""`alyx-transfer abandon`: give files up, after Alyx was asked what it says of them."""

import sys
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.desk import Desk, at_desk

if TYPE_CHECKING:
    from transfer.ledger.files import FileRow


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("abandon")(abandon)


def abandon(
    context: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="The files to give up.")],
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, kept for ever.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Give files up: they are not moved any more, until they change."""
    with at_desk(context) as desk:
        chosen = _open_files(desk, files)
        if not yes:
            _ask(chosen)
        closed = _abandon(desk, [row.id for row in chosen], why) if chosen else 0
    output.say(f"Abandoned {closed} {'file' if closed == 1 else 'files'}.")


def _open_files(desk: Desk, names: list[str]) -> "list[FileRow]":
    """The files that still move; the others are named and left alone."""
    from transfer.ledger import reports
    from transfer.status import OPEN

    chosen = []
    for name in names:
        row = reports.files(desk.ledger, dataset=desk.find(name, "file").row)[-1]
        if row.status in OPEN:
            chosen.append(row)
        else:
            output.say(
                output.visible(f"{row.session}/{row.relative_path} does not move: it is {row.status}.")
            )
    return chosen


def _ask(chosen: "list[FileRow]") -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here. Add --yes.")
    for row in chosen:
        output.say(output.visible(f"  {row.session}/{row.relative_path}, {output.size(row.size)}"))
    typer.confirm("Give these files up?", abort=True)


def _abandon(desk: Desk, files: list[int], why: str) -> int:
    from config import wiring
    from transfer.abandonment import abandon as given_up

    labs = [wiring.lab(desk.settings, name) for name in desk.settings.labs]
    with closing(wiring.catalog(desk.settings)) as catalog:
        return len(given_up(desk.ledger, catalog, labs, files, why=why))
