"""`alyx-transfer token`: makes, lists and revokes what programs log in to the dashboard with."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import typer

from cli import output
from cli.desk import at_desk


class Role(StrEnum):
    """What a token may do; each what the one before may, too."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


def add(app: typer.Typer) -> None:
    """Add the command with its subcommands."""
    group = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="What programs log in to the dashboard with."
    )
    group.command("new")(new)
    group.command("list")(listing)
    group.command("revoke")(revoke)
    app.add_typer(group, name="token")


def new(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What is going to use it, for the audit log.")],
    role: Annotated[Role, typer.Option("--role", help="What it may do.")],
    days: Annotated[
        int | None, typer.Option("--days", min=1, max=3660, help="For how long; else until it is revoked.")
    ] = None,
) -> None:
    """Make a token and print it: once, because only its hash is kept."""
    from transfer.ledger import tokens

    with at_desk(context) as desk:
        lasting = timedelta(days=days) if days is not None else None
        made, secret = tokens.make(desk.ledger, name, role.value, lasting=lasting)
    until = f" until {made.until:%Y-%m-%d %H:%M} UTC" if made.until else " until it is revoked"
    output.complain(f"Token {made.name} may do what the role {made.role} may,{until}. Keep it now:")
    output.say(secret)


def listing(context: typer.Context, as_json: output.Json = False) -> None:
    """List every token, without its secret."""
    from transfer.ledger import tokens

    with at_desk(context) as desk:
        rows = [
            {
                "id": one.id,
                "name": one.name,
                "role": one.role,
                "made_by": one.made_by,
                "made_at": one.made_at,
                "until": one.until,
                "revoked_at": one.revoked_at,
                "used_at": one.used_at,
            }
            for one in tokens.listed(desk.ledger)
        ]
    columns = [
        output.Column(key, title)
        for key, title in (
            ("id", "id"),
            ("name", "name"),
            ("role", "role"),
            ("made_by", "made by"),
            ("until", "until"),
            ("revoked_at", "revoked"),
            ("used_at", "last used"),
        )
    ]
    output.listing(rows, columns, as_json=as_json, empty="There are no tokens.")


def revoke(
    context: typer.Context,
    token: Annotated[str, typer.Argument(metavar="NAME|ID", help="Its name, or its number in the list.")],
) -> None:
    """Let a token hold no more, at once."""
    from transfer.ledger import tokens

    with at_desk(context) as desk:
        known = int(token) if token.isascii() and token.isdigit() and len(token) < 19 else token
        gone = tokens.revoke(desk.ledger, known)
    output.say(f"The token of {gone.name} (number {gone.id}) holds no more.")
