"""The tasks: each asks the ledger, does one piece of work, and rings for what came of it."""

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import ParamSpec

import structlog
from celery import Celery

from config.rounds import MIRROR, MOVE, NOTICES, NOW, PROVE, RECONCILE, SANITY, SCAN, SWEEP, TIDY, VISIT
from transfer.errors import TransferError
from workers.crew import Crew

__all__ = [
    "MIRROR",
    "MOVE",
    "NOTICES",
    "PROVE",
    "RECONCILE",
    "SANITY",
    "SCAN",
    "SWEEP",
    "TIDY",
    "VISIT",
    "add_tasks",
]

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
    def scan(lab: str, when: str = "") -> None:
        if crew.rounds.scan(crew.lab(lab), every=_interval(crew.every.scan, when)):
            crew.ring_all(VISIT, runner.due_sessions())

    @task(RECONCILE)
    def reconcile(lab: str, when: str = "") -> None:
        crew.rounds.reconcile(crew.lab(lab), every=_interval(crew.every.reconcile, when))

    @task(TIDY)
    def tidy(store: str, when: str = "") -> None:
        crew.rounds.tidy(store, every=_interval(crew.every.tidy, when))

    @task(PROVE)
    def prove(store: str, when: str = "") -> None:
        crew.rounds.prove(store, every=_interval(crew.every.prove, when))

    @task(MIRROR)
    def mirror(lab: str, when: str = "") -> None:
        crew.rounds.mirror(crew.lab(lab), every=_interval(crew.every.mirror, when))

    @task(SANITY)
    def sanity(when: str = "") -> None:
        crew.rounds.sanity(every=_interval(crew.every.sanity, when))

    @task(NOTICES)
    def notices(when: str = "") -> None:
        if crew.every.notices is not None:
            crew.rounds.notices(every=_interval(crew.every.notices, when))


def _interval(every: timedelta, when: str) -> timedelta:
    """How long a round must not have been walked, to be walked: not at all when a person rang for it."""
    return timedelta(0) if when == NOW else every


def _calmly(run: Callable[P, None]) -> Callable[P, None]:
    """A failure that the runner could not write down is logged; the sweep rings again."""

    @wraps(run)
    def calm(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            run(*args, **kwargs)
        except TransferError as error:
            log.warning("task_failed", task=run.__name__, code=error.code, because=error.sentence)

    return calm
