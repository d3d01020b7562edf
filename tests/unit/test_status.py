"""The moves an item may make."""

from hypothesis import given
from hypothesis import strategies as st

from transfer.status import ENDS, JOURNEY, MOVES, OPEN, Condition, Proof, Status, may_move

STATUSES = st.sampled_from(Status)


@given(path=st.lists(STATUSES, max_size=30))
def test_nothing_is_published_unverified(path: list[Status]) -> None:
    """However the status wanders, PUBLISHED is only ever entered from VERIFIED, RECORDED only from PUBLISHED."""
    here = Status.DISCOVERED
    for there in path:
        if may_move(here, there):
            if there is Status.PUBLISHED:
                assert here is Status.VERIFIED
            if there is Status.RECORDED:
                assert here is Status.PUBLISHED
            here = there


@given(path=st.lists(STATUSES, max_size=60))
def test_whoever_is_recorded_has_made_every_step_since_it_was_last_sent_back(path: list[Status]) -> None:
    """No proof can be skipped: the way to RECORDED ends with every fact in order."""
    here, way = Status.DISCOVERED, [Status.DISCOVERED]
    for there in path:
        if may_move(here, there):
            here = there
            way = [*way[: way.index(there)], there] if there in way else [*way, there]
    if here is Status.RECORDED:
        assert way == list(JOURNEY)


@given(here=STATUSES, there=STATUSES)
def test_a_move_is_one_step_on_or_back_or_out(here: Status, there: Status) -> None:
    if not may_move(here, there):
        return
    assert here is not there
    if there in ENDS - {Status.RECORDED}:
        assert here in OPEN
    elif JOURNEY.index(there) > JOURNEY.index(here):
        assert JOURNEY.index(there) == JOURNEY.index(here) + 1
    else:
        assert there in {Status.DISCOVERED, Status.REGISTERED, Status.PLANNED}


@given(there=STATUSES)
def test_an_end_is_an_end(there: Status) -> None:
    for end in ENDS:
        assert not may_move(end, there)


def test_every_open_status_can_go_on_and_out() -> None:
    """No fact is a trap: from each there is a next step, and a way for a person to give up."""
    for here in OPEN:
        assert may_move(here, JOURNEY[JOURNEY.index(here) + 1])
        assert may_move(here, Status.ABANDONED)
        assert may_move(here, Status.SUPERSEDED)


def test_every_fact_but_the_first_can_be_sent_back_to_be_discovered() -> None:
    for here in OPEN - {Status.DISCOVERED}:
        assert may_move(here, Status.DISCOVERED)


def test_the_table_of_moves() -> None:
    """Written out, so that a change of the rules is seen in a review."""
    d, r, p, s, v, u = JOURNEY[:-1]
    forward = {(d, r), (r, p), (p, s), (s, v), (v, u), (u, Status.RECORDED)}
    back = {(r, d), (p, d), (p, r), *((x, y) for x in (s, v, u) for y in (d, r, p))}
    out = {(x, y) for x in (d, r, p, s, v, u) for y in (Status.SUPERSEDED, Status.ABANDONED)}
    assert forward | back | out == MOVES


def test_open_and_ended_are_all_there_is() -> None:
    assert set(Status) == OPEN | ENDS
    assert not OPEN & ENDS
    assert set(JOURNEY) | {Status.SUPERSEDED, Status.ABANDONED} == set(Status)


def test_words_fit_their_columns() -> None:
    assert all(len(word) <= 16 for words in (Status, Proof, Condition) for word in words)
