"""`alyx-transfer report`: the morning page as text: what arrived, what waits, what is held and what to do."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import typer

from cli import incidents as shown_incidents
from cli import output
from cli.desk import Desk, at_desk

if TYPE_CHECKING:
    from transfer.ledger.incidents import Incident
    from transfer.ledger.reports import Check, Held, RouteRow, UnregistrableRow

_SHOWN = 20  # lines of one kind: the page is for reading


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report)


def report(context: typer.Context, as_json: output.Json = False) -> None:
    """Show what arrived, what waits, what is held, and what to do about it."""
    from config.upcoming import with_rounds
    from transfer.ledger import incidents, reports

    with at_desk(context) as desk:
        ledger = desk.ledger
        routes = _with_idle(desk, reports.summary(ledger))
        held = reports.held(ledger)
        unregistrable = reports.unregistrable(ledger)
        check = with_rounds(reports.check(ledger), desk.settings, ledger)
        open_now = incidents.current(ledger)
        empty = not reports.sessions(ledger, limit=1)
    if as_json:
        output.document(
            {
                "now": check.now,
                "routes": [asdict(row) for row in routes],
                "held": asdict(held),
                "incidents": [asdict(one) for one in open_now],
                "unregistrable": [asdict(row) for row in unregistrable],
                "check": {**asdict(check), "fine": check.fine},
            }
        )
    elif empty and not held:
        _say_how_to_begin(desk)
    else:
        for line in page(routes, held, unregistrable, check, open_now):
            output.say(output.visible(line))


def _with_idle(desk: Desk, routes: "Sequence[RouteRow]") -> "list[RouteRow]":
    """The routes of the config that have nothing to tell belong on the page, too."""
    from transfer.ledger.reports import RouteRow

    known = {(row.source, row.target) for row in routes}
    idle = [
        RouteRow(lab=name, source=lab.repository, target=lab.store)
        for name, lab in desk.settings.labs.items()
        if (lab.repository, lab.store) not in known
    ]
    return sorted([*routes, *idle], key=lambda row: (row.lab, row.target))


def _say_how_to_begin(desk: Desk) -> None:
    output.say("Nothing has been seen yet.")
    for name, lab in desk.settings.labs.items():
        output.say(output.visible(f"  {name}: sessions are looked for in {lab.root}"))
    output.say(
        "To begin: `alyx-transfer doctor` looks at everything, `alyx-transfer push SESSION_FOLDER` moves one "
        "session now, `alyx-transfer worker --embedded-beat` works by itself."
    )


def page(
    routes: "Sequence[RouteRow]",
    held: "Held",
    unregistrable: "Sequence[UnregistrableRow]",
    check: "Check",
    open_now: "Sequence[Incident]" = (),
) -> Iterator[str]:
    """The page, line by line."""
    yield f"Report of {output.text(check.now)}"
    for row in routes:
        yield from _route(row, check.now)
    yield ""
    yield from shown_incidents.lines(open_now, check.now)
    waiting = list(_held_lines(held))
    yield f"Held for a person: {len(waiting)}" if waiting else "Nothing is held."
    yield from _first(waiting)
    if check.stuck:
        yield (
            f"{check.stuck} files or sessions are due and no worker takes them: "
            "see that one runs, with `alyx-transfer doctor`."
        )
    plain = [row for row in unregistrable if row.files > row.troubles]
    if plain:
        yield ""
        yield "Files that Alyx cannot register stay on the lab machine:"
        yield from _first(
            [
                f"  {row.session}: {_files(row.files - row.troubles)}, for example {row.example}"
                for row in plain
            ]
        )


def _route(row: "RouteRow", now: datetime) -> Iterator[str]:
    yield ""
    yield f"{row.lab}: {row.source} -> {row.target}"
    yield (
        f"  arrived  {_files(row.day_files)}, {output.size(row.day_bytes)} in 24 h; "
        f"{_files(row.week_files)}, {output.size(row.week_bytes)} in 7 days"
    )
    yield f"  waiting  {_files(row.waiting_files)}, {output.size(row.waiting_bytes)}"
    yield f"  held     {_files(row.held_files)}, {output.size(row.held_bytes)}"
    if row.oldest_unsent is not None:
        yield f"  oldest   unsent for {output.age(row.oldest_unsent, now)}"


def _held_lines(held: "Held") -> Iterator[str]:
    """One line for each thing: its name, why, and what to do; the ledger's sentences end with the remedy."""
    for endpoint in held.endpoints:
        yield (
            f"  {endpoint.name} is paused by {(endpoint.paused_by or '').removeprefix('person:')}: "
            f"{endpoint.pause_reason or 'no reason was given'} "
            f"[alyx-transfer resume {endpoint.name}]"
        )
    for session in held.sessions:
        yield f"  {session.session}: {session.hold_text or session.hold} [alyx-transfer release {session.session}]"
    for file in held.files:
        yield (
            f"  {file.session}/{file.relative_path}: {file.hold_text or file.hold} "
            f"[alyx-transfer release {file.item}]"
        )
    for file in held.troubles:
        yield f"  {file.session}/{file.relative_path}: {file.trouble} [alyx-transfer retry {file.session}]"


def _first(lines: Sequence[str]) -> Iterator[str]:
    yield from lines[:_SHOWN]
    if len(lines) > _SHOWN:
        yield f"  ... and {len(lines) - _SHOWN} more: alyx-transfer held"


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"
