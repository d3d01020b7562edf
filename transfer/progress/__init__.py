"""Where a file or a session is, why it is not further, and what happens next and when: pure sentences.

PROMISE: an explanation always names an owner, a next step, and a moment or a person.  There is no
"unknown": every combination of facts the ledger can hold has its sentence, and a file that nothing would
ever pick up again is a person's case and said to be one.

The order of the questions is that of the claims in the ledger: ended, held, busy, kept back by an endpoint,
not yet time, waiting its turn.  What a worker would not take for two reasons is explained by the one that
lasts longer.
"""

from transfer.progress.facts import (
    Carriage,
    End,
    Endpoint,
    Explanation,
    FileFacts,
    Lease,
    Owner,
    SessionFacts,
    Visit,
)
from transfer.progress.file import explain
from transfer.progress.session import explain_session

__all__ = [
    "Carriage",
    "End",
    "Endpoint",
    "Explanation",
    "FileFacts",
    "Lease",
    "Owner",
    "SessionFacts",
    "Visit",
    "explain",
    "explain_session",
]
