"""`/api/v1`: everything the pages show and do, for programs.

    asking       what operations share: numbers, pages, words; the failures they tell of
    overview     the first page, the monitor's question, what is held, incidents
    sessions     sessions and their files      transfers    batches
    places       endpoints, labs, bandwidth    crew         workers, what people did
    schedule     the rounds                    actions      all that changes something: `acting` does it
    notices      who is told what needs a person
    tokens       what programs log in with
    problems     the one form of every failure
    description  what the OpenAPI document says besides

Answers are the ledger's own frozen values (`transfer.ledger.glance`, `reports`); lists are pages, whose `after` asks
for the next.  Numbers of sessions, datasets, items and batches stay; endpoints and labs go by their names.
"""

from fastapi import APIRouter

from dashboard.api import actions, crew, notices, overview, places, schedule, sessions, tokens, transfers

router = APIRouter(prefix="/api/v1")
for part in (overview, sessions, transfers, places, crew, schedule, notices, tokens, actions):
    router.include_router(part.router)
