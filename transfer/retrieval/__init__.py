"""The way back: brings files from the central store to a folder of this machine.

    naming   from what a person named to Alyx's datasets
    wanted   from datasets to files: where each stands at the store and where it belongs here; pure
    folder   the folder they are brought to: partials, and the last rename
    pull     reads, compares with the registered hash, puts in place

Promises: under its own name a file appears only whole and, where Alyx has an md5, with exactly the bytes that are
registered; a file that stands there already is not touched, unless it was asked to be replaced; one failed file
stops no other.  It needs no ledger and writes nothing to Alyx.
"""

from transfer.retrieval.folder import Folder
from transfer.retrieval.naming import named
from transfer.retrieval.pull import Found, Outcome, Result, fetch, look, require_space
from transfer.retrieval.wanted import Plan, Wanted, plan

__all__ = [
    "Folder",
    "Found",
    "Outcome",
    "Plan",
    "Result",
    "Wanted",
    "fetch",
    "look",
    "named",
    "plan",
    "require_space",
]
