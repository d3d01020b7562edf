"""The lab of the demo: a sandbox Alyx, the store's web server, and sessions that keep arriving.  Until SIGTERM.

It is `sandbox.box` without the SFTP server, which is a container of its own.  The ports are always the same, because
the demo's config names them; everything listens at loopback, in the network that the demo's containers share.
"""

import os
import signal
import sys
import threading
from pathlib import Path

from sandbox.box import Box

ROOT = Path("/srv/box")
READY = Path("/tmp/ready")  # noqa: S108 - this container's own
ADMIN, VISITOR = "demo", "visitor"
PRODUCTION = "alyx-transfer"  # the project of docker-compose.yml, where nobody says -p
_PORTS = {"alyx-port": "8000", "web-port": "8001"}
_SESSIONS = 6
_NEW = 30
_BETWEEN = 20.0  # seconds between two new sessions


def main(root: Path = ROOT, ready: Path = READY) -> None:
    """Serve until told to stop; `ready` is there as soon as everything stands."""
    if os.environ.get("COMPOSE_PROJECT_NAME") == PRODUCTION:
        sys.exit(
            "The demo would share the ledger of the project alyx-transfer. Give it a project of its own: "
            "docker compose -p alyx-transfer-demo --profile demo up --detach"
        )
    stop = threading.Event()
    for which in (signal.SIGTERM, signal.SIGINT):
        signal.signal(which, lambda _which, _frame: stop.set())
    home = root / "home"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, port in _PORTS.items():
        (home / name).write_text(port, "ascii")
    with Box(root, sessions=_SESSIONS, seed=1, transport="local") as box:
        box.furnish()
        for name in (ADMIN, VISITOR):
            box.add_person(name)
        ready.touch()
        sys.stdout.write(f"Log in as {ADMIN} or {VISITOR}; the password: cat {box.password_file}\n")
        sys.stdout.flush()
        for _ in range(_NEW):
            if stop.wait(_BETWEEN):
                return
            box.grow()
        stop.wait()


if __name__ == "__main__":
    main()
