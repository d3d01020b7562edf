"""What is held, and the operator's answers: `held`, `release`, `retry`, `cancel`, `pause`, `resume`, `prioritise`.

TARGET is a file, a session, a lab, an endpoint, or `batch:N`; `transfer.ledger.finding` says how each may be
named.  All may be repeated: what stands as asked already is left alone, and the exit code is 0.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import incidents as shown_incidents
from cli import output
from cli.asking import Changed, Server, TokenFile, asking

if TYPE_CHECKING:
    from transfer.ledger.incidents import Incident
    from transfer.ledger.reports import Held

Target = Annotated[
    str, typer.Argument(metavar="TARGET", help="A file, a session, a lab, an endpoint, or batch:N.")
]
Place = Annotated[
    str,
    typer.Argument(
        metavar="TARGET", help="A session, a lab, or an endpoint: a lab's repository, a store, alyx."
    ),
]
Why = Annotated[str | None, typer.Option("--why", metavar="TEXT", help="The reason, for the audit log.")]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (held, release, retry, cancel, pause, resume, prioritise):
        app.command(command.__name__)(command)


def held(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many of each kind at most.")] = 1000,
    as_json: output.Json = False,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """List everything that waits for a person, with the reason and what to do."""
    with asking(context, server, token_file) as asked:
        found = asked.held(limit)
        open_now = asked.incidents()
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
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Let what is held go on from where it stands."""
    if everything == (target is not None):
        raise typer.BadParameter("name one TARGET, or --all.")
    if hold is not None and not everything:
        raise typer.BadParameter("--hold goes with --all.")
    with asking(context, server, token_file) as asked:
        done = (
            asked.release_all(hold=hold, why=why) if target is None else asked.act("release", target, why=why)
        )
    _say(done, "Released", "Nothing was held.")


def retry(
    context: typer.Context,
    target: Target,
    why: Why = None,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Make it due now; a held file that is named begins again from the start."""
    with asking(context, server, token_file) as asked:
        done = asked.act("retry", target, why=why)
    _say(done, "Due now", "Nothing waits there that may be tried again; what is held needs a release.")


def cancel(
    context: typer.Context,
    target: Target,
    why: Why = None,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Stop moving it until it is released."""
    with asking(context, server, token_file) as asked:
        done = asked.act("cancel", target, why=why)
    _say(done, "Cancelled", "Nothing was moving there.")


def pause(
    context: typer.Context,
    target: Place,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, shown wherever it waits.")],
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Move nothing more of a session, of a lab or at an endpoint until it is resumed."""
    with asking(context, server, token_file) as asked:
        done = asked.act("pause", target, why=why)
    if done.kind == "session" and not done:
        output.say("Nothing was moving there; what is held stays held.")
        return
    at = [place for place in done.endpoints if place != done.name]
    where = f" at its repository {at[0]}" if at else ""
    what = f": {', '.join(_counted(done))}" if done.kind == "session" else ""
    output.say(
        output.visible(f"Paused {done.name}{where}{what}. `alyx-transfer resume {done.name}` lets it go on.")
    )


def resume(
    context: typer.Context,
    target: Place,
    why: Why = None,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Let what is paused go on, at once."""
    with asking(context, server, token_file) as asked:
        done = asked.act("resume", target, why=why)
    _say(done, "Resumed", "It was not paused.")


def prioritise(
    context: typer.Context,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A session, a lab, or batch:N.")],
    level: Annotated[
        int,
        typer.Option("--level", min=-100, max=100, help="The highest goes first; 0 is normal."),
    ] = 10,
    why: Why = None,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Let it go before everything of a lower level."""
    with asking(context, server, token_file) as asked:
        done = asked.prioritise(target, level, why=why)
    _say(done, f"Level {level}", "It has that level already, or has nothing to do.")


def _say(done: Changed, verb: str, otherwise: str) -> None:
    output.say(f"{verb}: {', '.join(_counted(done))}." if done else otherwise)


def _counted(done: Changed) -> list[str]:
    counts = (
        (done.files, "file", "files"),
        (done.sessions, "session", "sessions"),
        (done.batches, "batch", "batches"),
        (len(done.endpoints), "endpoint", "endpoints"),
    )
    return [f"{count} {one if count == 1 else many}" for count, one, many in counts if count]
