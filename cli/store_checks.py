"""What `alyx-transfer doctor` looks at at a store, as in `checks`.

Whatever is tried there is tried with small files of our own, which are removed again.
"""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cli.bench import Bench, Check, Note
from transfer.errors import RenameDoesNotReplace, StoreDenied, StoreFull
from transfer.obstacles import ends_too_soon, skewed
from transfer.transports.delegated import DelegatedTransport

_SOON = timedelta(days=14)  # before a certificate ends


def compared(who: str, ahead: timedelta) -> str:
    """Nothing is refused for a clock: leases go by the ledger's alone."""
    if (told := skewed(who, ahead)) is not None:
        raise Note(told)
    return f"the clock of {who} is {ahead.total_seconds():+.0f} s from ours"


def store_reachable(bench: Bench, subject: str) -> str:
    transport = bench.transport(subject)
    if isinstance(transport, DelegatedTransport):
        return "logged in at the mover"
    able = transport.capabilities
    if not able.replaces_atomically:
        raise RenameDoesNotReplace("a rename at the store does not replace what is there", to=subject)
    return "connected, logged in, and a rename replaces in one step"


def store_works(bench: Bench, subject: str) -> str:
    """Write, read back, rename, replace and delete a probe file; its hash has a check of its own."""
    from transfer.conformance import PROBES, probe, probe_mover

    transport = bench.transport(subject)
    if isinstance(transport, DelegatedTransport):
        findings = probe_mover(transport)
    else:
        findings = [found for found in probe(transport, PROBES) if found.name != "remote hash"]
    broken = [finding for finding in findings if not finding.ok]
    if broken:
        said = "; ".join(f"{finding.name}: {finding.sentence.rstrip('.')}" for finding in broken)
        raise StoreDenied(
            f"the probe file did not make the journey ({said})",
            to=subject,
            do="Give the store's account the right to write, rename and delete below its root.",
        )
    return f"a probe file made the journey: {', '.join(finding.name for finding in findings)}"


def remote_hash(bench: Bench, subject: str) -> str:
    from transfer.conformance import PROBES, believe_remote_hash

    transport = bench.transport(subject)
    if isinstance(transport, DelegatedTransport):
        raise Note("the mover compares each file with its registered hash as it arrives")
    if not transport.capabilities.remote_hash:
        raise Note("the store does not hash its own files: every file is read back instead, which is slower")
    if not believe_remote_hash(transport, PROBES):
        raise Note("the store's hash command did not notice a changed file: every file is read back instead")
    return "the store hashes its own files, and noticed a changed one"


def store_clock(bench: Bench, subject: str) -> str:
    from transfer.conformance import clock_ahead

    transport = bench.transport(subject)
    if isinstance(transport, DelegatedTransport):
        raise Note("the mover does not tell the store's time")
    with tempfile.TemporaryDirectory(prefix="alyx-transfer-") as lab:
        ahead = clock_ahead(transport, Path(lab))
    if ahead is None:
        raise Note("the store does not tell its time")
    return compared("the store", ahead)


def store_names(bench: Bench, subject: str) -> str:
    """How the store's disk tells names apart.  No file is lost by it: each name there carries its dataset's uuid."""
    from transfer.conformance import names

    transport = bench.transport(subject)
    if isinstance(transport, DelegatedTransport):
        raise Note("not tried: files reach the store through the mover only")
    with tempfile.TemporaryDirectory(prefix="alyx-transfer-") as lab:
        found = names(transport, Path(lab))
    odd = [
        *(["takes names that differ in case only for one"] if found.folds_case else []),
        *(["takes names that differ in Unicode form only for one"] if found.folds_unicode else []),
        *(["takes no name with an accent"] if found.folds_unicode is None else []),
        *(["takes no name with any of " + '" < > | ? *'] if not found.takes_odd else []),
    ]
    if odd:
        raise Note(f"the store {', and '.join(odd)}: files that it refuses are held by name")
    return "the store keeps names as they are"


def store_certificate(bench: Bench, subject: str) -> str:
    transport = bench.transport(subject)
    until = None if isinstance(transport, DelegatedTransport) else transport.capabilities.credential_until
    if until is None:
        return "nothing is known that would end"
    now = datetime.now(UTC)
    if (ended := ends_too_soon(until, now=now, seconds=0, to=subject)) is not None:
        raise ended
    if (soon := ends_too_soon(until, now=now, seconds=_SOON.total_seconds(), to=subject)) is not None:
        raise Note(soon.sentence)
    return f"the certificate holds until {until:%Y-%m-%d %H:%MZ}"


def free_space(bench: Bench, subject: str) -> str:
    from cli.output import size

    transport = bench.transport(subject)
    free = None if isinstance(transport, DelegatedTransport) else transport.free_space()
    if free is None:
        raise Note("the store does not say how much space is left")
    if free < bench.settings.journey.batch_bytes:
        raise StoreFull(f"only {size(free)} left, less than one batch", to=subject)
    return f"{size(free)} left"


STORE_CHECKS = (
    Check("store connection", "store", store_reachable),
    Check("store probe", "store", store_works, needs=("store connection",)),
    Check("store hash", "store", remote_hash, needs=("store connection", "store probe")),
    Check("store names", "store", store_names, needs=("store connection", "store probe")),
    Check("store clock", "store", store_clock, needs=("store connection", "store probe")),
    Check("store certificate", "store", store_certificate, needs=("store connection",)),
    Check("store space", "store", free_space, needs=("store connection",)),
)
