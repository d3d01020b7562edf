"""`alyx-transfer notify`: who is told what needs a person; to try it, to see it before, and to be left alone for a lab.

The telling itself is a round of the workers (see docs/notices.md).
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import failures, output
from cli.desk import Desk, at_desk, person
from transfer.errors import NothingFound, TransferError

if TYPE_CHECKING:
    from transfer.notifying import Notifier

Lab = Annotated[str, typer.Argument(metavar="LAB", help="The lab's name in the config.")]


def add(app: typer.Typer) -> None:
    """Add the command with its subcommands."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Who is told what needs a person.")
    group.command("test")(send_test)
    for command in (preview, silence, unsilence):
        group.command(command.__name__)(command)
    app.add_typer(group, name="notify")


def send_test(context: typer.Context, as_json: output.Json = False) -> None:
    """Send a message to everybody who would be told, and say who could not be reached and why."""
    from transfer.notifying import try_all

    with at_desk(context) as desk:
        found = try_all(desk.ledger, _notifier(desk), by=person().removeprefix("person:"))
    columns = (
        output.Column("target", "target"),
        output.Column("sent", "sent"),
        output.Column("why", "why not"),
    )
    rows = [{"target": one.name, "sent": one.error is None, "why": _why(one.error)} for one in found]
    output.listing(rows, columns, as_json=as_json, empty="The file of targets names nobody.")
    raise typer.Exit(failures.common_code(one.error for one in found if one.error))


def _why(error: TransferError | None) -> str | None:
    return error.what if error else None


def preview(context: typer.Context, as_json: output.Json = False) -> None:
    """Show what everybody would be told now; nothing is sent, and nothing counts as told."""
    with at_desk(context) as desk:
        rows = list(_previewed(desk))
    if as_json:
        output.document(rows)
        return
    for row in rows:
        output.say(output.visible(f"To {row['target']}:"))
        if row["title"] is None:
            output.say(
                "  nothing: all that needs a person was told, or is silenced, or these are quiet hours"
            )
            continue
        for line in (row["title"], *row["body"].splitlines()):
            output.say(f"  {output.visible(line)}")


def _previewed(desk: Desk) -> Iterator[dict[str, Any]]:
    from transfer.notifying import due

    labs = {lab.repository: name for name, lab in desk.settings.labs.items()}
    for target, message in due(desk.ledger, _notifier(desk), labs=labs):
        yield {
            "target": target.name,
            "title": message.title if message else None,
            "body": message.body if message else None,
        }


def silence(
    context: typer.Context,
    lab: Lab,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for the audit log.")],
    hours: Annotated[
        float | None,
        typer.Option("--hours", min=0.01, max=24 * 366, help="For so long; else until it is ended."),
    ] = None,
) -> None:
    """Tell nobody of a lab for a while; what still stands afterwards is told then."""
    from transfer.ledger import notices

    with at_desk(context) as desk:
        _known(desk, lab)
        until = desk.ledger.moment() + timedelta(hours=hours) if hours else None
        notices.silence(desk.ledger, lab, until=until, why=why)
    end = f"until {output.text(until)}" if until else f"until: alyx-transfer notify unsilence {lab}"
    output.say(output.visible(f"Nobody is told of {lab} {end}."))


def unsilence(
    context: typer.Context,
    lab: Lab,
    why: Annotated[
        str | None, typer.Option("--why", metavar="TEXT", help="The reason, for the audit log.")
    ] = None,
) -> None:
    """Speak of a lab again."""
    from transfer.ledger import notices

    with at_desk(context) as desk:
        _known(desk, lab)
        ended = notices.unsilence(desk.ledger, lab, why=why)
    output.say(output.visible(f"{lab} is spoken of again." if ended else f"{lab} was not silenced."))


def _notifier(desk: Desk) -> "Notifier":
    from config import wiring

    found = wiring.notifier(desk.settings)
    if found is None:
        do = "Set targets_file in [notices]; docs/notices.md shows how."
        raise NothingFound("the config says nobody is to be told", do=do)
    return found


def _known(desk: Desk, lab: str) -> None:
    if lab not in desk.settings.labs:
        known = ", ".join(desk.settings.labs) or "none"
        raise NothingFound("the config has no such lab", to=lab, do=f"There are: {known}.")
