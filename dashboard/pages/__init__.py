"""The pages: HTML made on the server from the same questions as the API.

rendering   from values to HTML     failures   what goes wrong, for people     live   what changes by itself
overview    the first page          sessions, session, file, transfers, held    what moves, and what does not
fleet       endpoints, workers, schedule, bandwidth, audit log                  notices   who is told
tokens      what programs log in with     flashes    what is said once on the next page
act         an action on a page of its own    entrance   the login              errors    what each means
"""

from fastapi import APIRouter

from dashboard.pages import (
    act,
    entrance,
    errors,
    file,
    fleet,
    held,
    live,
    notices,
    overview,
    session,
    sessions,
    tokens,
    transfers,
)

router = APIRouter()
for part in (
    entrance,
    overview,
    live,
    sessions,
    session,
    file,
    transfers,
    held,
    fleet,
    notices,
    tokens,
    act,
    errors,
):
    router.include_router(part.router)
