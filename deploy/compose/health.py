"""Health checks of the containers: `health.py worker`, `health.py beat` or `health.py dashboard`; exit code 0 is fine.

A worker is fine when it has told the ledger within three minutes that it lives, a beat when it reaches its broker, a
dashboard when it answers, which it does only if its ledger answers too.  What is held or late makes nothing unhealthy:
that is for people, and "alyx-transfer status --check" tells it.
"""

import os
import socket
import ssl
import sys
import urllib.request
from collections.abc import Callable

from config.sections import Settings

_PATIENCE = 5.0  # seconds


def worker(settings: Settings) -> str | None:
    """Why no worker of this host lives; None if one does."""
    from config import wiring
    from transfer.ledger.glance import crew

    ledger = wiring.ledger(settings)
    ledger.patience = _PATIENCE
    try:
        heard = [one for one in crew.workers(ledger) if one.host == socket.gethostname()]
    finally:
        ledger.engine.dispose()
    return (
        None if any(one.standing == "alive" for one in heard) else "no worker of this host says that it lives"
    )


def beat(settings: Settings) -> str | None:
    """Why the beat could ring nobody; None if it can."""
    from config import doorbell

    doorbell.reach(settings.broker.url)
    return None


def dashboard(settings: Settings) -> str | None:
    """Why the dashboard cannot answer; None if it does."""
    told = settings.dashboard
    scheme = "https" if told.certificate_file else "http"
    # To ourselves, on loopback: the certificate is for the name that browsers use.
    unchecked = ssl._create_unverified_context()  # noqa: S323
    address = f"{scheme}://127.0.0.1:{told.port}/readyz"
    with urllib.request.urlopen(address, timeout=_PATIENCE, context=unchecked) as answer:
        return None if answer.status == 200 else f"it answers with {answer.status}"


_CHECKS: dict[str, Callable[[Settings], str | None]] = {
    "worker": worker,
    "beat": beat,
    "dashboard": dashboard,
}


def main(arguments: list[str]) -> int:
    from config.settings import load
    from transfer.errors import TransferError

    check = _CHECKS.get(arguments[0]) if len(arguments) == 1 else None
    if check is None:
        sys.stderr.write(f"say which: {', '.join(_CHECKS)}\n")
        return 2
    try:
        why = check(load(None, os.environ))
    except (TransferError, OSError) as error:
        why = str(error)
    if why is not None:
        sys.stderr.write(f"{why}\n")
    return 0 if why is None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
