"""python -m sandbox.alyx: serve a sandbox Alyx until Ctrl-C; prints its address on one line."""

import argparse
import contextlib
import threading
from pathlib import Path

from sandbox.alyx.labs import SandboxAlyx, read_seed


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.alyx", description="A stand-in for an Alyx server."
    )
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--state", type=Path, help="SQLite file in which all rows outlive the process")
    parser.add_argument(
        "--seed", type=Path, help="JSON file of rows to start with (default: usual types and formats)"
    )
    parser.add_argument("--throttle", type=int, help="requests per minute and user (default: no limit)")
    options = parser.parse_args()
    seed = read_seed(options.seed) if options.seed else None
    with SandboxAlyx(seed, state=options.state, throttle=options.throttle, port=options.port) as alyx:
        print(alyx.url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
