"""Finding the session a path speaks of, with the side effects that has on the real server."""

from sandbox.alyx.converting import as_date
from sandbox.alyx.errors import Crash
from sandbox.alyx.model import Row
from sandbox.alyx.store import Store


def find_subject(store: Store, nickname: str) -> Row:
    """The one subject of that name; raises ValueError if there is none, Crash if there are several."""
    found = [row for row in store.tables["subjects"].values() if row["nickname"] == nickname]
    if not found:
        raise ValueError(f'A subject with nickname "{nickname}" does not exist.')
    if len(found) > 1:
        raise Crash(f"get() returned more than one Subject -- it returned {len(found)}!")
    return found[0]


def find_session(store: Store, subject: Row, day: str, number: int | None, user: Row | None) -> Row:
    """The session of that day and number; raises ValueError if there is none.

    The day's base session (the one without a parent) and the session found get the user added, and the
    session gets the base as its parent. Of several candidates the one with the smallest id is taken.
    """
    day = as_date(day)
    sessions = store.tables["sessions"]
    keys = store.pointing("sessions", "subject", subject["id"])
    that_day = sorted(
        (sessions[key] for key in keys if (sessions[key]["start_time"] or "")[:10] == day), key=_id
    )
    base = next((row for row in that_day if row["parent_session"] is None), None)
    if base is None:
        raise ValueError(f"A base session for {subject['nickname']} on {day} does not exist")
    add_user(store, base, user)
    session = next((row for row in that_day if row["number"] == number), None)
    if session is None:
        raise ValueError(f"A session for {subject['nickname']}/{number} on {day} does not exist")
    session = sessions[session["id"]]
    add_user(store, session, user)
    session = sessions[session["id"]]
    if session["parent_session"] is None and base["id"] != session["id"]:
        session = store.save(
            "sessions", {**session, "parent_session": base["id"], "auto_datetime": store.now()}
        )
    return session


def _id(row: Row) -> str:
    return str(row["id"])


def add_user(store: Store, session: Row, user: Row | None) -> None:
    """Add a user to a session's users; an anonymous one breaks the table's constraint."""
    if user is not None and user["id"] in session["users"]:
        return
    store.session_users_drawn += 1
    if user is None:
        relation = 'column "labmember_id" of relation "actions_session_users"'
        raise Crash(
            f"null value in {relation} violates not-null constraint\n"
            f"DETAIL:  Failing row contains ({store.session_users_drawn}, {session['id']}, null).\n"
        )
    store.save(
        "sessions", {**session, "users": [*session["users"], user["id"]], "auto_datetime": store.now()}
    )
