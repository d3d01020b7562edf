"""Whether a server's rename replaces a file that stands: tried with two tiny files, since no server says so.

Promises: the names are those of partials of no dataset, so that `tidy` removes what a killed probe leaves
behind; a server that lets us write nothing is said not to replace.
"""

import contextlib
from pathlib import PurePosixPath
from uuid import uuid4

from transfer.errors import ConnectionLost
from transfer.paths import partial_name
from transfer.transports.ftp.line import Line, Refusal
from transfer.transports.ftp.store import Store

_STANDS, _COMES = b"stands", b"comes instead"


def replaces(line: Line, store: Store) -> bool | None:
    """Rename one file onto another in the root, and look; None where no file could be written."""
    nobody = uuid4()
    old, new = (PurePosixPath(partial_name(nobody, attempt)) for attempt in ("00000001", "00000002"))
    try:
        for path, content in ((old, _STANDS), (new, _COMES)):
            with line.transfer(f"STOR {store.place(path)}") as data:
                data.send(memoryview(content), lambda _moved: None)
    except Refusal:
        _remove(line, store, old, new)
        return None
    try:
        line.ask(f"RNFR {store.place(new)}")
        line.ask(f"RNTO {store.place(old)}")
        return store.size(line, old) == len(_COMES) and store.size(line, new) is None
    except Refusal:
        return False
    finally:
        _remove(line, store, old, new)


def _remove(line: Line, store: Store, *paths: PurePosixPath) -> None:
    for path in paths:
        with contextlib.suppress(Refusal, ConnectionLost):
            line.ask(f"DELE {store.place(path)}")
