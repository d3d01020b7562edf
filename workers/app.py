"""The Celery application.

Messages are hints (see docs/architecture.md, "the ledger is the queue"): acknowledged early, one at a time,
no results, no ETA, no chains, no Celery retries.  A lost message is rung again by the sweep, a doubled one
finds a lease, so no setting here can lose or double a file.

They do not expire either: an expiry is a moment by the ringer's clock, and a lab machine whose clock is ahead
would throw every message away, for ever.
"""

from celery import Celery

from config.doorbell import address
from config.queues import CENTRAL

POLL_SECONDS = 0.02  # memory:// asks for messages; its own default of a second would make the demo crawl


def make_app(broker_url: str) -> Celery:
    """An application for one broker."""
    app = Celery("alyx-transfer", broker=address(broker_url), set_as_current=False)
    app.conf.update(
        task_acks_late=False,
        task_ignore_result=True,
        result_expires=None,  # else beat rings every night for a cleaning of results that nobody keeps
        task_default_queue=CENTRAL,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        timezone="UTC",
        enable_utc=True,
    )
    if broker_url.startswith("memory://"):
        app.conf.broker_transport_options = {"polling_interval": POLL_SECONDS}
    return app
