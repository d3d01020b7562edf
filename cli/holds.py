"""What is held, and the operator's answers: `held`, `release`, `retry`, `cancel`, `pause`, `resume`.

TARGET is a file, a session, a lab, an endpoint, or `batch:N`; `transfer.ledger.finding` says how each may be
named.  All may be repeated: what stands as asked already is left alone, and the exit code is 0.
"""

from collections.abc import Iterator, Sequence, Sized
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import incidents as shown_incidents
from cli import output
from cli.desk import at_desk

if TYPE_CHECKING:
    from transfer.ledger.actions import Done
    from transfer.ledger.incidents import Incident
    from transfer.ledger.reports import Held

Target = Annotated[
    str, typer.Argument(metavar="TARGET", help="A file, a session, a lab, an endpoint, or batch:N.")
]
Why = Annotated[str | None, typer.Option("--why", metavar="TEXT", help="The reason, for the audit log.")]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (held, release, retry, cancel, pause, resume):
        app.command(command.__name__)(command)


def held(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many of each kind at most.")] = 1000,
    as_json: output.Json = False,
) -> None:
    """List everything that waits for a person, with the reason and what to do."""
    from transfer.ledger import incidents, reports

    with at_desk(context) as desk:
        found = reports.held(desk.ledger, limit=limit)
        open_now = incidents.current(desk.ledger)
    columns = (
        output.Column("kind", "what"),
        output.Column("name", "name"),
        output.Column("item", "item"),
        output.Column("hold", "hold"),
        output.Column("text", "why, and what to do"),
        output.Column("page", "more"),
    )
    output.listing(list(_rows(found, open_now)), columns, as_json=as_json, empty="Nothing is held.")


def _rows(found: "Held", open_now: "Sequence[Incident]") -> "Iterator[dict[str, Any]]":
    paused = {endpoint.name for endpoint in found.endpoints}
    for one in open_now:
        if one.endpoint not in paused:
            words = shown_incidents.text(one)
            yield _row("incident", one.endpoint, one.name, words, since=one.first_at, files=one.files)
    for endpoint in found.endpoints:
        yield _row("endpoint", endpoint.name, "paused", endpoint.pause_reason, by=endpoint.paused_by)
    for session in found.sessions:
        yield _row("session", session.session, session.hold, session.hold_text)
    for file in found.files:
        name = f"{file.session}/{file.relative_path}"
        yield _row("file", name, file.hold, file.hold_text, item=file.item, since=file.since)
    for file in found.troubles:
        yield _row("file", f"{file.session}/{file.relative_path}", "cannot-move", file.trouble)


def _row(kind: str, name: str, hold: str | None, text: str | None, **more: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": name,
        "hold": hold,
        "text": text,
        "item": None,
        "since": None,
        "by": None,
        "page": shown_incidents.page(hold),
        **more,
    }


def release(
    context: typer.Context,
    target: Annotated[
        str | None, typer.Argument(help="A file, a session, a lab, an endpoint, or batch:N.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything that is held.")] = False,
    hold: Annotated[
        str | None, typer.Option("--hold", metavar="NAME", help="With --all: only what is held for this.")
    ] = None,
    why: Why = None,
) -> None:
    """Let what is held go on from where it stands."""
    from transfer.ledger import actions

    if everything == (target is not None):
        raise typer.BadParameter("name one TARGET, or --all.")
    if hold is not None and not everything:
        raise typer.BadParameter("--hold goes with --all.")
    with at_desk(context) as desk:
        if target is None:
            done = actions.release_all(desk.ledger, hold=hold, why=why)
        else:
            done = actions.release(desk.ledger, desk.find(target), why=why)
    _say(done, "Released", "Nothing was held.")


def retry(context: typer.Context, target: Target, why: Why = None) -> None:
    """Make it due now; a held file that is named begins again from the start."""
    from transfer.ledger import actions

    with at_desk(context) as desk:
        done = actions.retry(desk.ledger, desk.find(target), why=why)
    _say(done, "Due now", "Nothing waits there that may be tried again; what is held needs a release.")


def cancel(context: typer.Context, target: Target, why: Why = None) -> None:
    """Stop moving it until it is released."""
    from transfer.ledger import actions

    with at_desk(context) as desk:
        done = actions.cancel(desk.ledger, desk.find(target), why=why)
    _say(done, "Cancelled", "Nothing was moving there.")


def pause(
    context: typer.Context,
    endpoint: Annotated[str, typer.Argument(help="A lab's repository, a store, or alyx.")],
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, shown wherever it waits.")],
) -> None:
    """Use an endpoint no more until it is resumed."""
    from transfer.ledger import endpoints

    with at_desk(context) as desk:
        endpoints.ensure(desk.ledger, desk.endpoint_names)
        name = desk.find(endpoint, "endpoint").name
        state = endpoints.state(desk.ledger, name)
        if state is None or state.paused_by is None or state.pause_reason != why:
            endpoints.pause(desk.ledger, name, by=desk.ledger.actor, reason=why)
    output.say(output.visible(f"Paused {name}. `alyx-transfer resume {name}` lets it go on."))


def resume(
    context: typer.Context,
    endpoint: Annotated[str, typer.Argument(help="A lab's repository, a store, or alyx.")],
) -> None:
    """Use an endpoint again, at once."""
    from transfer.ledger import actions

    with at_desk(context) as desk:
        done = actions.release(desk.ledger, desk.find(endpoint, "endpoint"))
    _say(done, "Resumed", "It was not paused.")


def _say(done: "Done", verb: str, otherwise: str) -> None:
    counts: dict[str, tuple[Sized, str]] = {
        "file": (done.items, "files"),
        "session": (done.sessions, "sessions"),
        "batch": (done.batches, "batches"),
        "endpoint": (done.endpoints, "endpoints"),
    }
    parts = [
        f"{len(found)} {one if len(found) == 1 else many}" for one, (found, many) in counts.items() if found
    ]
    output.say(f"{verb}: {', '.join(parts)}." if parts else otherwise)
