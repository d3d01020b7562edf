"""A worker process put together from the config."""

from functools import partial

from celery import Celery

from config import doorbell, queues, rounds, wiring
from config.queues import Duty
from config.sections import Settings
from transfer.catalog.base import Catalog
from transfer.ledger import Ledger
from workers.app import make_app
from workers.crew import Crew
from workers.schedule import beat_schedule
from workers.tasks import add_tasks


def beat_app(settings: Settings) -> Celery:
    """An application that only rings: it needs no ledger and no Alyx."""
    app = make_app(settings.broker.url)
    app.conf.beat_schedule = beat_schedule(settings)
    return app


def worker_app(
    settings: Settings, *, ledger: Ledger, catalog: Catalog, hands: int, duty: Duty | None = None
) -> tuple[Celery, Crew]:
    """An application with its tasks, and what they share.

    `duty` is what this process takes, None is everything; `hands` is the concurrency it is run with.
    """
    app = beat_app(settings)
    runner = wiring.runner(settings, ledger=ledger, catalog=catalog, duty=duty, hands=hands)
    crew = Crew(
        rounds=wiring.rounds(settings, runner),
        when={name: one.when for name, one in rounds.table(settings).items()},
        ring=partial(doorbell.ring, settings.broker.url),
        unheard=partial(doorbell.unheard, settings.broker.url),
        session_queues=queues.of_sessions(settings),
        batch_queues=queues.of_batches(settings),
    )
    add_tasks(app, crew)
    app.amqp.queues.select((duty or queues.every_duty(settings)).queues)  # what its worker will hear
    return app, crew
