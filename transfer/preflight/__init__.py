"""What would stop a push, found before any byte moves; all of it in one report.

`report` is what the plans themselves say; `asking` asks the store, Alyx and the ledger.  Nothing is written, neither
at the store nor in the ledger: that files can be renamed and deleted there is tried by `doctor`, and by every push
before its first batch of the day (`steps.ahead`).
"""

from transfer.preflight.asking import of_clocks, of_names, of_store
from transfer.preflight.report import Report, of_session, together

__all__ = ["Report", "of_clocks", "of_names", "of_session", "of_store", "together"]
