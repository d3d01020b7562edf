"""wind up: end what a mover still does for a batch that nobody wants moved any more.

A batch that was cancelled, or whose files were all abandoned or superseded, may have a task at the mover.  It is
asked to stop, and its submission counts as ended only when the mover says so: until then it may write.
"""

from datetime import timedelta

from transfer.ledger import submissions
from transfer.steps.work import DelegatedWork
from transfer.transports.delegated import Standing


def wind_up(work: DelegatedWork) -> bool:
    """Whether the batch was one to wind up; then nothing else is to be done for it now."""
    submission = submissions.submission_of(work.ledger, work.batch)
    if submission is None or not submission.unwanted:
        return False
    work.ensure()
    # A submission that was perhaps never heard is said once more: only so its task gets a name.
    task = submission.task or work.transport.submit(submission.document)
    work.transport.cancel(task)
    report = work.transport.poll(task, submission.document)
    with work.ledger.guarded(work.lease) as tx:
        if report.standing is Standing.ACTIVE:
            submissions.submitted(tx, work.batch, task)
            at = tx.now + timedelta(seconds=work.transport.allowance.patience)
            submissions.heard(tx, work.batch, note=report.note, bytes_moved=report.bytes_moved, at=at)
        else:
            known = report.standing is not Standing.GONE
            submissions.ended(tx, work.batch, how=report.note or report.standing.value, known=known)
    return True
