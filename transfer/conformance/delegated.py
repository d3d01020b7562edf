"""What may be tried on a mover that is in use: folders looked at, one of our own made, renamed and removed again.

Nothing is submitted that moves data.  What a killed probe leaves is an empty folder in the staging folder.
"""

from collections.abc import Callable

from transfer.conformance.live import Finding
from transfer.errors import TransferError
from transfer.transports.delegated import DelegatedTransport


def probe(transport: DelegatedTransport) -> list[Finding]:
    """Look at the store, rehearse in its staging folder, and look at each lab, whatever the others gave.

    The transport is open: entering it has logged in.
    """
    findings = [_try("store", transport.see_store)]
    if findings[0].ok:
        findings.append(_try("staging folder", transport.rehearse))
    return [*findings, *(_source(transport, source) for source in transport.sources)]


def _source(transport: DelegatedTransport, source: str) -> Finding:
    return _try(f"lab repository {source}", lambda: transport.see_source(source))


def _try(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, look())
    except TransferError as error:
        return Finding(name, False, error.sentence)
