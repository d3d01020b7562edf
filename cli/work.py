"""`worker`, `beat` and `recover`: the processes that run by themselves, and the way out of a wrong ledger."""

from contextlib import closing
from typing import Annotated

import typer

from cli import output
from cli.failures import Exit
from cli.invocation import of
from transfer.errors import TransferError


def add(app: typer.Typer) -> None:
    app.command("worker")(worker)
    app.command("beat")(beat)
    app.command("recover")(recover)


def worker(
    context: typer.Context,
    embedded_beat: Annotated[
        bool,
        typer.Option("--embedded-beat", help="Ring by the schedule as well: all that one machine needs."),
    ] = False,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Pieces of work at once.")] = 4,
) -> None:
    """Work until stopped: find sessions, register, push, verify, publish, record."""
    from config import logs, wiring
    from workers.assembly import worker_app
    from workers.service import run_worker

    settings = of(context).settings()
    logs.configure(settings.logs)
    ledger = wiring.ledger(settings)
    with closing(wiring.catalog(settings)) as catalog:
        app, crew = worker_app(settings, ledger=ledger, catalog=catalog)
        crew.rounds.start()
        run_worker(app, concurrency=concurrency, embedded_beat=embedded_beat)


def beat(context: typer.Context) -> None:
    """Ring by the schedule until stopped.  Two at once are harmless."""
    from config import logs
    from workers.assembly import beat_app
    from workers.service import run_beat

    settings = of(context).settings()
    logs.configure(settings.logs)
    if settings.broker.url.startswith("memory://"):
        output.complain(
            "a beat of its own cannot reach a worker through memory://. "
            'Run "alyx-transfer worker --embedded-beat", or set broker.url to a Redis or RabbitMQ.'
        )
        raise typer.Exit(Exit.USAGE)
    run_beat(beat_app(settings))


def recover(
    context: typer.Context,
    why: Annotated[str, typer.Option("--why", help="What happened; kept in the audit log.")],
) -> None:
    """Make this ledger the one that speaks for the labs' repositories, after a restore or a move.

    Draws a new epoch and sends every open item back to be proved anew; nothing that arrived is sent twice.
    """
    from config import wiring
    from transfer import agent

    settings = of(context).settings()
    ledger = wiring.ledger(settings)
    with closing(wiring.catalog(settings)) as catalog:
        moved = agent.recover(ledger, why=why)
        output.say(f"a new epoch was drawn; {moved} open files will be proved anew")
        failed: list[TransferError] = []
        for lab in wiring.labs(settings):
            try:
                agent.take_over(ledger, catalog, lab, version=wiring.version())
                output.say(f"{lab.repository}: Alyx now names this ledger")
            except TransferError as error:
                failed.append(error)
        if failed:
            raise failed[0]
