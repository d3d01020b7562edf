"""Rings the workers by a task's name, so that nobody who rings has to import them.

A ring means "have a look" and carries at most one value, usually an id.  It is a courtesy: what is due stands in
the ledger, and the workers' own sweep finds it within a minute.  So a broker that is down never fails the
caller; `reach` is for `alyx-transfer doctor`, which wants to know.  With `memory://` the ring is heard only
inside this process.
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from config.queues import CENTRAL
from config.sections import without_password
from transfer.errors import BrokerRefused, BrokerUnreachable

if TYPE_CHECKING:
    from celery import Celery

_REFUSED = re.compile(
    r"invalid username-password pair|invalid password|Authentication required|ACCESS_REFUSED"
)
_PATIENCE = 2  # seconds; whoever rings is a person at a prompt or a worker with better things to do


def ring(broker_url: str, task_name: str, *arguments: str | int, queue: str = CENTRAL) -> bool:
    """Ask the workers to run `task_name(*arguments)`; False when the broker could not be reached."""
    from amqp.exceptions import AMQPError
    from kombu.exceptions import OperationalError

    try:
        _producer(broker_url).send_task(
            task_name, args=arguments, queue=queue, retry=False, ignore_result=True
        )
    except (
        OperationalError,
        AMQPError,
        OSError,
        KeyError,
        ImportError,
    ):  # AMQPError: RabbitMQ refused the login
        return False
    return True


def unheard(broker_url: str, queue: str = CENTRAL) -> int:
    """How many rings wait in a queue; 0 when the broker does not tell."""
    from kombu import Queue
    from kombu.exceptions import OperationalError

    line: Any
    with _producer(broker_url).pool.acquire(block=True) as line:
        try:
            _connect(line)
            told: Any = Queue(queue, channel=line.default_channel).queue_declare(passive=True)
            return int(told.message_count)
        except (OperationalError, OSError, *line.connection_errors, *line.channel_errors):
            return 0


def reach(broker_url: str) -> None:
    """Connect to the broker once.  Raises `BrokerUnreachable`, `BrokerRefused` for a wrong password."""
    from amqp.exceptions import AccessRefused, AMQPError
    from kombu import Connection
    from kombu.exceptions import OperationalError

    try:
        with Connection(
            address(broker_url), connect_timeout=_PATIENCE, transport_options=_options(broker_url)
        ) as line:
            _connect(line)
    except (OperationalError, AMQPError, OSError, KeyError, ImportError) as error:
        where = without_password(broker_url)
        if isinstance(error, ImportError):
            do = "In the clone of alyx-transfer, run: scripts/venv redis"
            what = f"a package that speaks to the broker is not installed ({error.name})"
            raise BrokerUnreachable(what, to=where, do=do) from error
        if isinstance(error, AccessRefused) or _REFUSED.search(str(error)):
            raise BrokerRefused("the broker does not take our password", to=where) from error
        raise BrokerUnreachable(f"no answer from the broker ({type(error).__name__})", to=where) from error


def address(broker_url: str) -> str:
    """The broker's URL as Celery likes it: it warns of a memory:// without a host, which it does not need."""
    return "memory://localhost" if broker_url == "memory://" else broker_url


def _connect(line: Any) -> None:
    line.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=_PATIENCE)


@lru_cache(maxsize=4)
def _producer(broker_url: str) -> "Celery":
    from celery import Celery

    app = Celery("alyx-transfer-doorbell", broker=address(broker_url), set_as_current=False)
    app.conf.update(
        broker_connection_timeout=_PATIENCE,
        broker_connection_retry=False,
        broker_transport_options=_options(broker_url),
        task_ignore_result=True,
    )
    return app


def _options(broker_url: str) -> dict[str, Any]:
    if broker_url.startswith(("redis://", "rediss://")):
        return {"socket_connect_timeout": _PATIENCE, "socket_timeout": _PATIENCE, "max_retries": 0}
    return {}
