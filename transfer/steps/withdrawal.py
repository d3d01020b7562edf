"""What follows when a stored copy is found to be wrong, whoever found it: withdraw at once, then send again."""

from collections.abc import Sequence

from transfer.catalog.base import Catalog
from transfer.errors import StoredFileMissing, TransferError
from transfer.ledger import standing
from transfer.ledger.ledger import Ledger
from transfer.ledger.standing import StandingCopy
from transfer.status import Condition
from transfer.transports.base import Failed, Got


def is_right(copy: StandingCopy, seen: Got | Failed) -> bool:
    """The bytes that were proved."""
    return isinstance(seen, Got) and seen.md5 == copy.md5


def is_wrong(copy: StandingCopy, seen: Got | Failed) -> bool:
    """Other bytes, or none; a copy that could not be read just now is neither right nor wrong."""
    if isinstance(seen, Got):
        return seen.md5 != copy.md5
    return isinstance(seen.error, StoredFileMissing)


def send_again(ledger: Ledger, catalog: Catalog, wrong: Sequence[StandingCopy], *, why: str) -> int:
    """Set `exists` false for each and open an item for it; answers how many were opened.

    One that Alyx refuses stops no other, and has an item too: before it sends, that one withdraws as well.  What
    Alyx refused first is raised in the end.
    """
    refused: list[TransferError] = []
    for copy in wrong:
        try:
            if copy.record_uuid:
                catalog.announce(copy.record_uuid, False)
        except TransferError as error:
            refused.append(error)
    opened = standing.reopen(ledger, wrong, condition=Condition.DAMAGED, why=why)
    if refused:
        raise refused[0]
    return opened
