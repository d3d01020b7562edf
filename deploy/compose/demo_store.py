"""The store of the demo: an SFTP server for the folder /srv/box/store, with keys of its own.  Until SIGTERM."""

import signal
import sys
import threading
from pathlib import Path

from sandbox.store import SftpStore

ROOT = Path("/srv/box/store")
HOME = Path("/srv/box/keys")
PORT = "2222"


def main(root: Path = ROOT, home: Path = HOME) -> None:
    """Serve until told to stop."""
    stop = threading.Event()
    for which in (signal.SIGTERM, signal.SIGINT):
        signal.signal(which, lambda _which, _frame: stop.set())
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    (home / "port").write_text(PORT, "ascii")
    with SftpStore(root, home=home, server="embedded") as store:
        sys.stdout.write(f"sftp://{store.host}:{store.port}\n")
        sys.stdout.flush()
        stop.wait()


if __name__ == "__main__":
    main()
