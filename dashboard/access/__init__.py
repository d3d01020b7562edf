"""Who may: every page and call takes one of these as a parameter, and so tells what it needs.

    Seeing         a viewer or more
    Acting         an operator or more; what a browser sends must carry the CSRF token
    Administering  an admin; the same

Nobody known: a page answers with the login, a call with 401.  Somebody who may not: 403.  A test takes every route
there is and sees that each that changes something needs `Acting` or `Administering`.
"""

from dashboard.access.roles import Person, Role
from dashboard.access.wanting import Acting, Administering, Seeing

__all__ = ["Acting", "Administering", "Person", "Role", "Seeing"]
