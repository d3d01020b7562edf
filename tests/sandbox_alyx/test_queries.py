"""The django= filter means what it means to Django, errors included; lists page as the real server's do."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.alyx.errors import Crash
from sandbox.alyx.queries import matches, parse, where
from sandbox.alyx.seeding import Seeder
from sandbox.alyx.store import Store

DATA = Path(__file__).parents[1] / "data"
ANSWERS = json.loads((DATA / "django-filters.json").read_text("utf-8"))["answers"]
NICKNAMES = ("session", "subject", "nickname")


@pytest.fixture(scope="module")
def store():
    made = Store()
    Seeder(made).load(json.loads((DATA / "alyx-exchanges.json").read_text("utf-8"))["seed"])
    return made


@pytest.mark.parametrize(("table", "text", "answer"), ANSWERS, ids=[f"{a[0]}?{a[1]}" for a in ANSWERS])
def test_a_filter_selects_what_django_selects(store, table, text, answer):
    if isinstance(answer, str):
        with pytest.raises(Crash) as raised:
            where(store, table, parse(text))
        assert str(raised.value) == answer
    else:
        assert len(where(store, table, parse(text))) == answer


_CONDITIONS = st.sampled_from(
    [
        text
        for table, text, answer in ANSWERS
        if table == "files" and isinstance(answer, int) and "~" not in text
    ]
)


@given(text=_CONDITIONS)
@settings(max_examples=60)
def test_a_condition_and_its_negation_part_the_table(store, text):
    """Each row is in exactly one of the two."""
    yes = where(store, "files", parse(text))
    no = where(store, "files", parse(f"~{text}"))
    assert yes | no == set(store.tables["files"])
    assert not yes & no


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name", "list index out of range"),
        ("name,a,name,b", 'Duplicated fields in "name,a,name,b"'),
        ("name__in,[a]", "name 'a' is not defined"),
        (
            "nofield,1",
            "Cannot resolve keyword 'nofield' into field. Choices are: data_repository, data_repository_id",
        ),
    ],
)
def test_an_odd_filter_is_refused_in_the_servers_words(store, text, message):
    with pytest.raises(Crash) as raised:
        where(store, "files", parse(text))
    assert str(raised.value).startswith(message)


def test_commas_inside_brackets_do_not_split():
    assert parse("id__in,['a','b'],exists,true") == {"id__in": ["a", "b"], "exists": True}
    assert parse("number,4,x,1.5,y,None,z,v1") == {"number": 4.0, "x": 1.5, "y": None, "z": "v1"}


def test_an_index_answers_as_a_scan_would(store):
    """The short cut over the indexes and the long way give the same rows."""
    for key in store.tables["sessions"]:
        quick = matches(store, "files", ["dataset", "session"], key)
        slow = {
            record["id"]
            for record in store.tables["files"].values()
            if store.tables["datasets"][record["dataset"]]["session"] == key
        }
        assert quick == slow


def test_pages_are_cut_and_linked(lab):
    assert lab.register(*(f"alf/p{n:04d}/spikes.times.npy" for n in range(510))).status_code == 201
    first = lab.http.get("/files").json()
    assert (first["count"], len(first["results"]), first["previous"]) == (1020, 250, None)
    assert first["next"] == f"{lab.alyx.url}/files?limit=250&offset=250"
    assert len(lab.http.get("/files?limit=5000").json()["results"]) == 1000
    for odd in ("0", "-3", "abc", ""):
        assert len(lab.http.get(f"/files?limit={odd}").json()["results"]) == 250
    last = lab.http.get(first["next"] + "&limit=900").json()
    assert last["next"] is None
    assert last["previous"] == f"{lab.alyx.url}/files?limit=900"


def test_unknown_parameters_are_ignored_and_odd_values_are_not_errors(lab):
    record = lab.central()
    lab.http.patch(f"/files/{record}", json={"exists": False})
    count = lambda query: lab.http.get(f"/files?{query}").json()["count"]  # noqa: E731
    assert count("exist=True") == count("exists=banana") == count("globus_is_personal=0") == 2
    assert count("exists=0") == count("exists=False") == count("exists=true") == 1
    assert count("data_repository=nowhere") == 0
    assert lab.http.get("/files?dataset=abc").json()["dataset"] == ["“abc” is not a valid UUID."]
    assert lab.http.get("/files?id=abc").json()["id"] == ["Enter a valid UUID."]


def test_sessions_can_be_searched_by_files_that_are_there(lab):
    """A file that is only on the lab's own server does not count."""
    record = lab.central(qc="PASS")
    search = "/sessions?datasets=spikes.times.npy&dataset_qc_lte=WARNING"
    assert lab.http.get(search).json()["count"] == 0
    lab.http.patch(f"/files/{record}", json={"exists": True})
    assert lab.http.get(search).json()["count"] == 1
    assert lab.http.get("/sessions?datasets=spikes.times.npy,other.npy").json()["count"] == 0
    assert (
        lab.http.get("/sessions?date_range=2020-01-01,2020-01-01&subject=ks&lab=LAB&number=1").json()["count"]
        == 1
    )
    assert lab.http.get("/sessions?date_range=2020-01-02,2020-01-03").json()["count"] == 0
    assert len(lab.http.get(f"/sessions/{lab.eid}").json()["data_dataset_session_related"]) == 1
