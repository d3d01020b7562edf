"""The tasks: each asks the ledger, does one piece of work, and rings for what came of it."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import structlog
from celery import Celery

from transfer.errors import TransferError
from workers.crew import Crew

VISIT = "alyx_transfer.visit_session"
MOVE = "alyx_transfer.move_batch"
SWEEP = "alyx_transfer.sweep"
SCAN = "alyx_transfer.scan"
RECONCILE = "alyx_transfer.reconcile"
TIDY = "alyx_transfer.tidy"
PROVE = "alyx_transfer.prove"
MIRROR = "alyx_transfer.mirror"
SANITY = "alyx_transfer.sanity"

P = ParamSpec("P")
log = structlog.get_logger()


def add_tasks(app: Celery, crew: Crew) -> None:
    """Give the application its tasks; they work with `crew`."""
    runner = crew.rounds.runner

    def task(name: str) -> Callable[[Callable[P, None]], object]:
        # Not shared: Celery would give this crew's tasks to every application of the process.
        return lambda run: app.task(name=name, shared=False)(_calmly(run))

    @task(VISIT)
    def visit_session(session: int) -> None:
        if runner.advance_session(only=[session]) and not runner.due_sessions():
            crew.ring_all(MOVE, runner.plan())

    @task(MOVE)
    def move_batch(batch: int) -> None:
        runner.advance_batch(only=[batch])

    @task(SWEEP)
    def sweep() -> None:
        sessions, batches = crew.rounds.sweep()
        if not crew.busy():
            crew.ring_all(MOVE, batches)
            crew.ring_all(VISIT, sessions)

    @task(SCAN)
    def scan(lab: str) -> None:
        if crew.rounds.scan(crew.lab(lab), every=crew.every.scan):
            crew.ring_all(VISIT, runner.due_sessions())

    @task(RECONCILE)
    def reconcile(lab: str) -> None:
        crew.rounds.reconcile(crew.lab(lab), every=crew.every.reconcile)

    @task(TIDY)
    def tidy(store: str) -> None:
        crew.rounds.tidy(store, every=crew.every.tidy)

    @task(PROVE)
    def prove(store: str) -> None:
        crew.rounds.prove(store, every=crew.every.prove)

    @task(MIRROR)
    def mirror(lab: str) -> None:
        crew.rounds.mirror(crew.lab(lab), every=crew.every.mirror)

    @task(SANITY)
    def sanity() -> None:
        crew.rounds.sanity(every=crew.every.sanity)


def _calmly(run: Callable[P, None]) -> Callable[P, None]:
    """A failure that the runner could not write down is logged; the sweep rings again."""

    @wraps(run)
    def calm(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            run(*args, **kwargs)
        except TransferError as error:
            log.warning("task_failed", task=run.__name__, code=error.code, because=error.sentence)

    return calm
