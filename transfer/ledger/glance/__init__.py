"""What a person sees of the ledger at one look: read-only questions for the dashboard, its API and the reports.

    pages       one page of a long list, and the cursor of the next
    overview    the first page: what arrived, what waits, what failed and why, what needs a person
    sessions    sessions and their files, filtered, the newest first
    transfers   batches: those that move now, with progress and the time they will take, and the last ones
    timeline    one file's way: attempts, receipts, and where its time went
    places      endpoints: breaker, pace and its reasons, what they can do, free space, credentials
    crew        workers that say they live, and what they hold
    audit       what people did
    rounds      the schedule: when each round was walked, what came of it, when it is due

PROMISES: each question is one short reading transaction, locks nothing, is answered by an index however much the ledger
holds, and gives frozen values that need no further question.  Nothing here decides anything; sentences for people come
from `transfer.progress` and from the errors themselves.
"""
