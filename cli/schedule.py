"""`alyx-transfer schedule`: the regular rounds, when each is due, and to walk one now."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.desk import Desk, at_desk
from transfer.errors import NothingFound

if TYPE_CHECKING:
    from config.upcoming import Due


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("schedule")(schedule)


def schedule(
    context: typer.Context,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="ROUND", help='Walk this round now, here: "tidy flatiron".'),
    ] = None,
    as_json: output.Json = False,
) -> None:
    """Show the regular rounds: when each is walked, what came of it last, when it is due again."""
    from config.upcoming import schedule_of

    with at_desk(context) as desk:
        if run is not None:
            _said(run, _walked(desk, run), as_json=as_json)
            return
        rows = [_row(one, desk.ledger.moment()) for one in schedule_of(desk.settings, desk.ledger)]
    columns = (
        output.Column("name", "round"),
        output.Column("when", "when"),
        output.Column("last_run", "last walked"),
        output.Column("last_outcome", "what came of it"),
        output.Column("next", "next"),
    )
    output.listing(rows, columns, as_json=as_json, empty="The config names no lab and no store.")


def _row(one: "Due", now: datetime) -> Mapping[str, Any]:
    return {**asdict(one), "next": _next(one, now)}


def _next(one: "Due", now: datetime) -> str:
    if one.name.startswith("sweep"):
        return "always"
    if one.holder:
        return f"now, by {one.holder}"
    return "now" if one.due_at is None or one.due_at <= now else output.text(one.due_at)


def _walked(desk: Desk, name: str) -> str | None:
    """Walk the round in this process.  None when a worker walks it at this moment."""
    from config import rounds, wiring
    from transfer.recurrence import ALWAYS
    from workers.walking import walk

    known = rounds.table(desk.settings)
    if name not in known:
        raise NothingFound("there is no such round", to=name, do=f"The rounds: {', '.join(known)}.")
    with closing(wiring.catalog(desk.settings)) as catalog:
        runner = wiring.runner(desk.settings, ledger=desk.ledger, catalog=catalog)
        with closing(runner):
            walked = wiring.rounds(desk.settings, runner)
            return walk(walked, known[name].task, known[name].of or "", ALWAYS)


def _said(name: str, outcome: str | None, *, as_json: bool) -> None:
    if as_json:
        output.document({"round": name, "walked": outcome is not None, "outcome": outcome})
    else:
        output.say(output.visible(f"{name}: {outcome or 'another process walks it at this moment'}"))
