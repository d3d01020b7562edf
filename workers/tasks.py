"""The tasks: each asks the ledger, does one piece of work, and rings for what came of it."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import structlog
from celery import Celery

from config.queues import CENTRAL
from config.rounds import MOVE, NOW, SCAN, SWEEP, VISIT
from transfer.errors import TransferError
from workers.crew import Crew
from workers.walking import WALKS, lab_of, walk

P = ParamSpec("P")
log = structlog.get_logger()


def add_tasks(app: Celery, crew: Crew) -> None:
    """Give the application its tasks; they work with `crew`."""
    runner = crew.rounds.runner

    def task(name: str) -> Callable[[Callable[P, None]], object]:
        # Not shared: Celery would give this crew's tasks to every application of the process.
        return lambda run: app.task(name=name, shared=False)(_calmly(name, run))

    @task(VISIT)
    def visit_session(session: int) -> None:
        if runner.advance_session(only=[session]) and not runner.due_sessions():
            for lab in runner.labs:
                crew.ring_all(MOVE, runner.plan_of(lab), queue=crew.for_batches(lab))

    @task(MOVE)
    def move_batch(batch: int) -> None:
        runner.advance_batch(only=[batch])

    @task(SWEEP)
    def sweep(lab: str = "") -> None:
        _sweep_lab(crew, lab) if lab else _sweep_centrally(crew)

    for name in WALKS:
        task(name)(_round(crew, name))


def _sweep_lab(crew: Crew, name: str) -> None:
    lab = lab_of(crew.rounds, name)
    sessions, batches = crew.rounds.sweep(lab)
    queue = crew.for_sessions(lab)
    if not crew.busy(queue):
        crew.ring_all(MOVE, batches, queue=queue)
        crew.ring_all(VISIT, sessions, queue=queue)


def _sweep_centrally(crew: Crew) -> None:
    batches = crew.rounds.sweep_centrally()
    if not crew.busy(CENTRAL):
        crew.ring_all(MOVE, batches)


def _round(crew: Crew, task: str) -> Callable[..., None]:
    def walk_round(*words: str) -> None:
        """`words`: the lab or store it is walked for, if for one; then `NOW` when a person rang."""
        of = next((word for word in words if word != NOW), "")
        told = walk(crew.rounds, task, of, crew.due(task, of or None, by_hand=NOW in words))
        if task == SCAN and told is not None:
            lab = lab_of(crew.rounds, of)
            crew.ring_all(VISIT, crew.rounds.runner.due_sessions(lab), queue=crew.for_sessions(lab))

    return walk_round


def _calmly(name: str, run: Callable[P, None]) -> Callable[P, None]:
    """A failure that the runner could not write down is logged; the sweep rings again."""

    @wraps(run)
    def calm(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            run(*args, **kwargs)
        except TransferError as error:
            log.warning("task_failed", task=name.rpartition(".")[2], code=error.code, because=error.sentence)

    return calm
