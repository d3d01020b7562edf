"""A transport's promises, as checks: run on every kind in the tests and by `doctor` on a live endpoint.

`CHECKS` are the promises of `transports.base`, each one sentence and one function.  `probe` is what may be done
to a store that is in use: a few small files with names of our own beside the data, removed again.
`probe_mover` does the like for a mover that we only ask.
`try_rights` is what a push tries before it sends anything; `habits` is what a store's disk and clock are like.
`believe_remote_hash` is the canary that a store's hash command must pass before any of its digests counts.

A check raises `PromiseBroken`; a `TransferError` that it did not expect flies.
"""

from transfer.conformance.delegated import probe as probe_mover
from transfer.conformance.habits import PROBES, clock_ahead, names
from transfer.conformance.live import Finding, Unwritable, believe_remote_hash, probe, try_rights
from transfer.conformance.promises import CHECKS, Check
from transfer.conformance.single import PromiseBroken

__all__ = [
    "CHECKS",
    "PROBES",
    "Check",
    "Finding",
    "PromiseBroken",
    "Unwritable",
    "believe_remote_hash",
    "clock_ahead",
    "names",
    "probe",
    "probe_mover",
    "try_rights",
]
