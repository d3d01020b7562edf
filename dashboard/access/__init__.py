"""Who may: every page and call takes one of these as a parameter, and so tells what it needs.

    Seeing         a viewer or more
    Acting         an operator or more; what a browser sends must carry the CSRF token
    Administering  an admin; the same

Nobody known: a page answers with the login, a call with 401.  Somebody who may not: 403.  A test takes every route
there is and sees that each that changes something needs `Acting` or `Administering`.

    wanting    these parameters: who asks (token, cookie, or this machine), and whether a change is their own
    entrance   the login       logins    its cookie      throttle  against guessing     keys  what signs cookies
    roles      who may what    hosts     our own names, and where a browser's request comes from
    guard      before everything: foreign names, large bodies; on every answer: `headers`; `streams` that must end

Templates send back `csrf_token(request)`, in the field `csrf_token` of a form or the header `X-CSRF-Token`; a stream
asks `still_in` now and then whether who began it may still look.
"""

from dashboard.access.roles import Person, Role
from dashboard.access.wanting import Acting, Administering, Seeing, csrf_token, still_in

__all__ = ["Acting", "Administering", "Person", "Role", "Seeing", "csrf_token", "still_in"]
