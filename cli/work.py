"""`worker`, `beat` and `recover`: the processes that run by themselves, and the way out of a wrong ledger."""

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.desk import at_desk
from cli.duties import Central, Labs, duty_of
from cli.failures import Exit
from cli.invocation import of
from cli.packages import need
from transfer.errors import TransferError

if TYPE_CHECKING:
    from config.sections import Settings


def add(app: typer.Typer) -> None:
    """Add the commands."""
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
    lab: Labs = None,
    central: Central = False,
) -> None:
    """Work until stopped: find sessions, register, push, verify, publish, record.

    Without --lab and --central everything of the config is taken.
    """
    from config import logs, wiring
    from config.queues import every_duty
    from transfer.niceness import step_back
    from workers.assembly import worker_app
    from workers.living import living
    from workers.service import run_worker

    settings = of(context).settings()
    if not embedded_beat:
        _refuse_memory(settings, "nobody can ring this worker through memory://")
    _need_broker(settings)
    duty = duty_of(settings, lab or [], central)
    logs.configure(settings.logs)
    ledger = wiring.ledger(settings)
    try:
        with closing(wiring.catalog(settings)) as catalog:
            app, crew = worker_app(settings, ledger=ledger, catalog=catalog, duty=duty, hands=concurrency)
            with closing(crew.rounds.runner):
                crew.rounds.start()
                step_back(wiring.niceness(settings))  # before the threads: they and their ssh inherit it
                taken = str(duty or every_duty(settings))
                latency, version = catalog.latency, wiring.version()
                with living(ledger, version=version, hands=concurrency, duty=taken, latency=latency):
                    run_worker(app, concurrency=concurrency, embedded_beat=embedded_beat)
    finally:
        ledger.engine.dispose()


def beat(context: typer.Context) -> None:
    """Ring by the schedule until stopped.  Two at once are harmless."""
    from config import logs
    from workers.assembly import beat_app
    from workers.service import run_beat

    settings = of(context).settings()
    _refuse_memory(settings, "a beat of its own cannot reach a worker through memory://")
    _need_broker(settings)
    logs.configure(settings.logs)
    run_beat(beat_app(settings))


def _need_broker(settings: "Settings") -> None:
    """End here when what speaks to the broker is not installed."""
    if settings.broker.url.startswith("redis"):
        need("a broker at redis://", ("redis", "packaging"), "redis")


def _refuse_memory(settings: "Settings", what: str) -> None:
    """End here when the broker is inside this process only and somebody outside would be needed."""
    if settings.broker.url.startswith("memory://"):
        output.complain(
            f'{what}. Run "alyx-transfer worker --embedded-beat", or set broker.url to a Redis or RabbitMQ.'
        )
        raise typer.Exit(Exit.USAGE)


def recover(
    context: typer.Context,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="What happened; kept in the audit log.")],
) -> None:
    """Make this ledger the one that speaks for the labs' repositories, after a restore or a move.

    Draws a new epoch and sends every open file back to be proved anew; what has arrived is not sent twice.
    May be repeated, for example when Alyx was away.
    """
    from config import wiring
    from transfer import agent

    failed: list[TransferError] = []
    with at_desk(context) as desk, closing(wiring.catalog(desk.settings)) as catalog:
        moved = agent.recover(desk.ledger, why=why)
        output.say(f"A new epoch was drawn; {moved} open files will be proved anew.")
        for lab in wiring.labs(desk.settings):
            try:
                agent.take_over(desk.ledger, catalog, lab, version=wiring.version())
            except TransferError as error:
                failed.append(error)
            else:
                output.say(output.visible(f"{lab.repository}: Alyx now names this ledger."))
    if failed:
        raise failed[0]
