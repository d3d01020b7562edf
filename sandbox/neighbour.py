"""A second, smaller lab in the same box: a folder, rows in Alyx, and a store that is a mounted disk.

It is there for whoever wants to see more than one lab side by side.  Its sessions have no large file.
"""

from collections.abc import Sequence
from pathlib import Path

from sandbox.box import Box
from sandbox.sessions import SyntheticSession, write_sessions

LAB, LAB_SERVER, STORE, SUBJECTS = "southlab", "southlab_SR", "flatiron_southlab", "SOUTH"


class Neighbour:
    """The lab beside the box's own; the box must be open."""

    def __init__(self, box: Box, *, sessions: int) -> None:
        self._box, self._sessions = box, sessions

    @property
    def lab_root(self) -> Path:
        return self._box.root / "lab" / LAB / "Subjects"

    @property
    def store_root(self) -> Path:
        return self._box.root / "store-of-southlab"

    def furnish(self) -> Sequence[SyntheticSession]:
        """Write the sessions and tell Alyx of them; safe to repeat."""
        for folder in (self.lab_root, self.store_root):
            folder.mkdir(parents=True, exist_ok=True)
        written = write_sessions(
            self._box.root / "lab",
            sessions=self._sessions,
            seed=2,
            lab=LAB,
            large_bytes=0,
            megabytes=1,
            subjects=SUBJECTS,
        )
        self._box.tell_alyx_of_lab(LAB, server=LAB_SERVER, store=STORE)
        self._box.tell_alyx_of(written, lab=LAB)
        return written
