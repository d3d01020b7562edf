"""python -m sandbox.globus: serve a sandbox Globus until Ctrl-C; prints the variables that lead clients to it."""

import argparse
import contextlib
import threading
from pathlib import Path
from typing import get_args

from sandbox.globus.collection import Kind
from sandbox.globus.server import SandboxGlobus


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.globus", description="A stand-in for Globus Transfer and Auth."
    )
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument(
        "--collection",
        action="append",
        default=[],
        metavar="NAME=FOLDER[:KIND]",
        help=f"offer a folder; KIND is one of {', '.join(get_args(Kind))} (default: mapped)",
    )
    options = parser.parse_args()
    # An interrupt may come at any moment from the last line that we print.
    with contextlib.suppress(KeyboardInterrupt), SandboxGlobus(port=options.port) as globus:
        for name, value in globus.cli_environment.items():
            print(f"export {name}={value}")
        for text in options.collection:
            name, _, place = text.partition("=")
            folder, _, kind = place.rpartition(":")
            if kind not in get_args(Kind):
                folder, kind = place, "mapped"
            key = globus.add_collection(name, Path(folder).resolve(), kind)
            print(f"# {name}: {key}")
        print("# ready", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
