"""A worker process put together from the config."""

from datetime import timedelta
from functools import partial

from celery import Celery

from config import doorbell, rounds, wiring
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
    app.conf.beat_schedule = beat_schedule(
        labs=wiring.labs(settings),
        stores=list(settings.stores),
        every=rounds.every(settings.schedule, settings.notices),
        sweep=timedelta(seconds=settings.schedule.sweep_seconds),
    )
    return app


def worker_app(settings: Settings, *, ledger: Ledger, catalog: Catalog) -> tuple[Celery, Crew]:
    """An application with its tasks, and what they share."""
    app = beat_app(settings)
    runner = wiring.runner(settings, ledger=ledger, catalog=catalog)
    crew = Crew(
        rounds=wiring.rounds(settings, runner),
        every=rounds.every(settings.schedule, settings.notices),
        ring=partial(doorbell.ring, settings.broker.url),
        unheard=partial(doorbell.unheard, settings.broker.url),
    )
    add_tasks(app, crew)
    return app, crew
