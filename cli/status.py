"""`alyx-transfer status`: where sessions and their files stand; with `--check` one line for a monitor."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.asking import Asking, Server, TokenFile, asking
from cli.failures import Exit

if TYPE_CHECKING:
    from transfer.ledger.reports import Check, FileRow, SessionRow

_SESSIONS = 100
_FILES = 100_000
_SPANS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days"}


def span(words: str) -> timedelta:
    """A length of time as people type it: `90s`, `10min`, `24h`, `7d`."""
    found = re.fullmatch(r"\s*(\d{1,6})\s*(s|min|h|d)\s*", words)
    if not found:
        raise typer.BadParameter(f'"{words}" is no length of time. Write for example 90s, 10min, 24h or 7d.')
    return timedelta(**{_SPANS[found[2]]: int(found[1])})


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(status)


def status(
    context: typer.Context,
    session: Annotated[
        str | None, typer.Argument(help="A session's folder or the end of it; all sessions if left out.")
    ] = None,
    held: Annotated[bool, typer.Option("--held", help="Only what is held.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, max=1_000_000, help=f"How many rows at most; {_SESSIONS} sessions, {_FILES} files."
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="One line for a monitor; exit code 1 if somebody must look.")
    ] = False,
    max_age: Annotated[
        str, typer.Option(metavar="LENGTH", help="With --check: how old the oldest unsent file may be.")
    ] = "24h",
    as_json: output.Json = False,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Show where sessions and files stand."""
    oldest = span(max_age)
    if check and session is not None:
        raise typer.BadParameter("--check looks at everything: leave the session out.")
    with asking(context, server, token_file) as asked:
        if check:
            outcome = asked.check(oldest)
            _say_check(outcome, oldest, as_json=as_json)
            raise typer.Exit(Exit.FINE if outcome.fine else Exit.NOT_DONE)
        if session is None:
            at_most = limit or _SESSIONS
            _show_sessions(asked.sessions(held=held, limit=at_most), at_most, as_json=as_json)
            _show_limits(asked, as_json=as_json)
            _show_incidents(asked, as_json=as_json)
            return
        rows = asked.files(session, held=held, limit=limit or _FILES)
    if as_json:
        output.document([file_row(row) for row in rows])
    else:
        file_table(rows)


# ---- files


def file_row(row: "FileRow") -> dict[str, Any]:
    """One file as JSON has it."""
    return asdict(row)


def file_table(rows: "Sequence[FileRow]") -> None:
    """Files for people."""
    output.listing(
        [{**asdict(row), "remark": _remark(row)} for row in rows],
        (
            output.Column("relative_path", "file"),
            output.Column("status", "status"),
            output.Column("size", "size", output.size, right=True),
            output.Column("tries", "tries", right=True),
            output.Column("proof", "proof"),
            output.Column("remark", "remark"),
        ),
        as_json=False,
        empty="no files",
    )


def _remark(row: "FileRow") -> str | None:
    if row.hold:
        return f"held ({row.hold}): {row.hold_text or 'no reason was written down'}"
    if row.unregistrable and row.status == "unregistrable":
        return row.unregistrable
    return row.error_text


# ---- sessions


def _show_sessions(rows: "Sequence[SessionRow]", limit: int, *, as_json: bool) -> None:
    output.listing(
        [asdict(row) for row in rows],
        (
            output.Column("session", "session"),
            output.Column("lab", "lab"),
            output.Column("files", "files", right=True),
            output.Column("recorded", "recorded", right=True),
            output.Column("waiting", "waiting", right=True),
            output.Column("held", "held", right=True),
            output.Column("unregistrable", "not registrable", right=True),
            output.Column("bytes_waiting", "to move", output.size, right=True),
            output.Column("hold", "session held"),
        ),
        as_json=as_json,
        empty="No sessions.",
    )
    if len(rows) == limit and not as_json:
        output.say(f"These are the newest {limit}; --limit shows more.")


def _show_limits(asked: Asking, *, as_json: bool) -> None:
    """The lab machines' limits, where there are any; JSON has a command of its own."""
    from cli import bandwidth

    for line in [] if as_json else bandwidth.lines(asked):
        output.say(output.visible(line))


def _show_incidents(asked: Asking, *, as_json: bool) -> None:
    """One line for each cause behind many failures; `held --json` has them for programs."""
    from cli import incidents

    for line in [] if as_json else incidents.lines(asked.incidents(), asked.now()):
        output.say(output.visible(line))


# ---- the monitor's line


def _say_check(found: "Check", max_age: timedelta, *, as_json: bool) -> None:
    if as_json:
        output.document({**asdict(found), "fine": found.fine, "sentence": check_line(found, max_age)})
    else:
        output.say(check_line(found, max_age))


def unwalked(names: "Sequence[str]") -> str:
    """Rounds that nobody walks: the first, and how many more."""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"overdue: {output.visible(names[0])}{more}"


def check_line(found: "Check", max_age: timedelta) -> str:
    """One line, the word a monitor looks for first: OK or PROBLEM."""
    complaints = []
    if found.too_old:
        age = output.age(found.oldest_unsent, found.now)
        complaints.append(f"the oldest unsent file is {age} old, {output.duration(max_age)} are allowed")
    complaints += [
        f"{count} {what}{'' if count == 1 else 's'} held"
        for what, count in (("file", found.held_files), ("session", found.held_sessions))
        if count
    ]
    if found.paused:
        complaints.append(f"paused: {', '.join(output.visible(name) for name in found.paused)}")
    if found.troubles:
        complaints.append(f"{found.troubles} files cannot be moved")
    if found.incidents:
        complaints.append(f"incident: {', '.join(output.visible(name) for name in found.incidents)}")
    if found.stuck:
        complaints.append(f"{found.stuck} files or sessions are due and no worker takes them")
    if found.unwalked:
        complaints.append(f"{unwalked(found.unwalked)}: does a beat run, and a central worker?")
    if found.away:
        complaints.append(
            f"the data folder is not there: {', '.join(output.visible(name) for name in found.away)}"
        )
    if found.rows_without_owner:
        complaints.append(f"{found.rows_without_owner} rows of the ledger have no owner")
    if found.disk_full:
        complaints.append(output.visible(found.disk_full).rstrip("."))
    if complaints:
        return f"PROBLEM: {'; '.join(complaints)}. Look with: alyx-transfer report"
    several = len(found.versions) > 1
    skew = f"; workers run versions {', '.join(found.versions)}: finish the upgrade" if several else ""
    if found.oldest_unsent is None:
        return f"OK: nothing waits{skew}"
    wait = "file waits" if found.waiting == 1 else "files wait"
    return f"OK: {found.waiting} {wait}, the oldest for {output.age(found.oldest_unsent, found.now)}{skew}"
