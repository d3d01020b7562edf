"""Reading lists and single rows: whole, filtered, and compared with what was asked."""

from collections.abc import Callable
from datetime import date, datetime
from uuid import UUID, uuid4

import httpx2
import pytest
from alyx_lab import DAY, LAB, PASSWORD, RIG, STORE, SUBJECT, USER, Rig, registration

from transfer.catalog import alyx_lists
from transfer.catalog.alyx import AlyxCatalog
from transfer.catalog.alyx_http import AlyxHttp
from transfer.errors import AnswerDiffers, CatalogBroken, UnknownInCatalog, UnknownSession

NAMES = [f"alf/probe{probe:02d}/spikes.{what}.npy" for probe in range(24) for what in ("times", "amps")]


class Watched(httpx2.HTTPTransport):
    """A real connection that calls `between` after each page it brought."""

    def __init__(self, between: Callable[[int], None]) -> None:
        super().__init__()
        self.pages = 0
        self.between = between

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = super().handle_request(request)
        response.read()
        if request.method == "GET" and request.url.path == "/files":
            self.pages += 1
            self.between(self.pages)
        return response


def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alyx_lists, "_PAGE", 5)


def test_a_list_stays_whole_while_another_client_writes(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """Pages drift under an unordered list: one pass misses records, we do not."""
    _small_pages(monkeypatch)
    writer = rig.client()
    writer.register(registration(*NAMES))
    wanted = {one.id for one in writer.missing_records(STORE)}
    order = sorted(wanted)

    def busy(page: int) -> None:
        if page <= 8:
            for record in order[(page - 1) * 6 : page * 6]:
                writer.announce(record, False, json={"seen": page})

    # One pass alone does miss some, or this test would prove nothing
    naive = AlyxHttp(rig.alyx.url, user=USER, password=PASSWORD, transport=Watched(busy))
    query = {"data_repository": STORE, "exists": "False"}
    once = {row["url"][-36:] for row, _ in alyx_lists._one_pass(naive, "/files", query)}
    naive.close()
    assert once < set(map(str, wanted))

    catalog = rig.client(transport=Watched(busy))
    found = catalog.missing_records(STORE)
    assert {one.id for one in found} == wanted
    assert len(found) == len(wanted)


def test_records_that_are_flipped_meanwhile_hide_no_others(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """Another mover announces records while we read: those that stay missing are all found."""
    _small_pages(monkeypatch)
    writer = rig.client()
    writer.register(registration(*NAMES))
    order = sorted(one.id for one in writer.missing_records(STORE))
    gone = set(order[::3])

    def busy(page: int) -> None:
        for record in sorted(gone)[(page - 1) * 4 : page * 4]:
            writer.announce(record, True)

    found = {one.id for one in rig.client(transport=Watched(busy)).missing_records(STORE)}

    assert set(order) - gone <= found


def test_a_list_of_one_page_is_one_request(rig: Rig, catalog: AlyxCatalog):
    """The throttle counts every request."""
    catalog.register(registration(*NAMES))
    rig.alyx.requests.reset()

    assert len(catalog.missing_records(STORE)) == len(NAMES)
    assert rig.alyx.requests.count("GET") == 1


def test_a_list_that_never_rests_is_given_up():
    """Bounded: not a loop for ever."""

    def restless(request: httpx2.Request) -> httpx2.Response:
        row = {"name": str(uuid4()), "file_extension": ".x"}
        return httpx2.Response(200, json={"count": 2, "results": [row], "next": None})

    with pytest.raises(CatalogBroken, match="changed through"):
        _over(restless).data_formats()


def test_ids_are_asked_by_the_hundred(rig: Rig, catalog: AlyxCatalog):
    """A request line holds no more; unknown ids are left out; a doubled one is one."""
    catalog.register(registration(*NAMES))
    datasets = [one.id for one in catalog.datasets_of_session(UUID(rig.eid))]
    records = [one.id for one in catalog.missing_records(STORE)]
    strangers = [uuid4() for _ in range(160)]
    rig.alyx.requests.reset()

    assert catalog.datasets([*datasets, *strangers, *datasets]).keys() == set(datasets)
    assert rig.alyx.requests.count("GET", "/datasets") == 3
    assert catalog.records([*strangers, *records]).keys() == set(records)
    assert rig.alyx.requests.count("GET", "/files") == 3
    assert catalog.records([]) == {}


def test_a_hundred_ids_fit_into_a_narrow_request_line():
    """gunicorn's own limit is 4094 bytes."""
    lines: list[int] = []

    def note(request: httpx2.Request) -> httpx2.Response:
        lines.append(len(f"GET {request.url.raw_path.decode()} HTTP/1.1"))
        return httpx2.Response(200, json={"count": 0, "results": []})

    _over(note).records([uuid4() for _ in range(100)])

    assert max(lines) < 4094


def test_flags_are_found_and_json_is_replaced_as_a_whole(catalog: AlyxCatalog):
    """A PATCH of exists alone keeps the json."""
    catalog.register(registration(NAMES[0], NAMES[1]))
    record = catalog.missing_records(STORE)[0].id

    catalog.announce(record, False, json={"mismatch_hash": True, "by": "ONE"})
    assert catalog.announce(record, True).json == {"mismatch_hash": True, "by": "ONE"}
    assert [one.id for one in catalog.flagged_records(STORE)] == [record]
    assert catalog.announce(record, True, json={"transfer_pending": True}).json == {"transfer_pending": True}
    assert catalog.flagged_records(STORE) == []
    assert catalog.announce(record, True, json=None).json is None


def test_hash_and_size_are_set_together(rig: Rig, catalog: AlyxCatalog):
    """And the flags of the records stay."""
    [answer] = catalog.register(registration(NAMES[0]))

    changed = catalog.set_hash(answer.dataset, "d" * 32, 5)

    assert (changed.md5, changed.size) == ("d" * 32, 5)
    assert catalog.set_size(answer.dataset, 6).size == 6
    [now] = catalog.datasets([answer.dataset]).values()
    assert (now.md5, now.size, now.session) == ("d" * 32, 6, UUID(rig.eid))
    assert {one.repository: one.exists for one in now.records} == {RIG: True, STORE: False}


def test_changed_datasets_are_those_after_the_watermark(catalog: AlyxCatalog):
    """Only with a record in the repository; every save of a record moves its dataset's time."""
    catalog.register(registration(NAMES[0], NAMES[1]))
    before = max(one.changed_at for one in catalog.datasets_changed(STORE, None))
    record = catalog.missing_records(STORE)[0]
    catalog.announce(record.id, True)

    assert {one.id for one in catalog.datasets_changed(STORE, before)} == {record.dataset}
    assert len(list(catalog.datasets_changed(RIG, None))) == 2
    assert list(catalog.datasets_changed("4581", None)) == []


def test_sessions_are_those_of_the_day_and_number(rig: Rig, catalog: AlyxCatalog):
    """None, one, or several."""
    day = date.fromisoformat(DAY)

    assert [str(one.id) for one in catalog.sessions(SUBJECT, day, 1)] == [rig.eid]
    assert catalog.sessions(SUBJECT, day, 2) == []
    assert catalog.sessions("KS02", day, 1) == []
    assert catalog.sessions(SUBJECT, date(2019, 12, 11), 1) == []
    rig.alyx.add_session(SUBJECT, DAY, 1)
    assert len(catalog.sessions(SUBJECT, day, 1)) == 2


def test_a_session_alyx_does_not_have_is_told_as_such(catalog: AlyxCatalog):
    """Deleted in Alyx since we looked."""
    with pytest.raises(UnknownSession):
        catalog.datasets_of_session(uuid4())


def test_the_agents_row_is_made_once_and_then_updated(rig: Rig, catalog: AlyxCatalog):
    """One row for each agent, whatever else is in the list."""
    first = catalog.write_agent_task("agent", RIG, status="Started", arguments={"ledger": "x"}, log="up")
    catalog.write_agent_task("agent", STORE, status="Started", arguments={}, log="")
    again = catalog.write_agent_task("agent", RIG, status="Waiting", arguments={"ledger": "y"}, log="idle")

    assert again.id == first.id
    assert (again.status, again.arguments, again.log) == ("Waiting", {"ledger": "y"}, "idle")
    assert catalog.agent_task("agent", RIG) == again
    assert catalog.agent_task("other", RIG) is None
    assert len(rig.alyx.tables.rows("tasks")) == 2
    assert catalog.incumbent_tasks(LAB) == 0


def test_other_pipelines_tasks_are_counted(rig: Rig, catalog: AlyxCatalog):
    """ibllib's tasks carry a session, and by it a lab."""
    task = {"name": "EphysRegisterRaw", "session": rig.eid, "status": "Waiting", "graph": "Pipeline"}
    catalog._http.post_once("/tasks", task)

    assert catalog.incumbent_tasks(LAB) == 1


@pytest.mark.parametrize("name", ["a'] or ['b", "x,y", "a]", '"'])
def test_no_name_breaks_out_of_a_filter(catalog: AlyxCatalog, name: str):
    """Alyx evaluates the list as Python on its side."""
    with pytest.raises(UnknownInCatalog):
        list(catalog.datasets_changed(name, None))


# Servers that do not do what was asked ---------------------------------------------------------------


def _over(answer: Callable[[httpx2.Request], httpx2.Response]) -> AlyxCatalog:
    transport = httpx2.MockTransport(answer)
    http = AlyxHttp("http://a.invalid", user=USER, token="t", sleep=lambda _: None, transport=transport)
    return AlyxCatalog("", user=USER, http=http)


def _record(repository: str = STORE, exists: bool = False, json: object = None) -> dict[str, object]:
    url = f"http://a.invalid/files/{uuid4()}"
    dataset = f"http://a.invalid/datasets/{uuid4()}"
    path = f"{SUBJECT}/{DAY}/001/{NAMES[0]}"
    told = {"data_repository": repository, "exists": exists, "json": json, "relative_path": path}
    return {"url": url, "dataset": dataset, "name": ""} | told


@pytest.mark.parametrize(
    ("row", "ask"),
    [
        (_record(exists=True), lambda c: c.missing_records(STORE)),
        (_record(repository=RIG), lambda c: c.missing_records(STORE)),
        (_record(), lambda c: c.flagged_records(STORE)),
        (_record(), lambda c: c.records([uuid4()])),
    ],
    ids=["exists", "repository", "json", "id"],
)
def test_an_ignored_filter_is_noticed(row: object, ask: Callable[[AlyxCatalog], object]):
    """Alyx answers what it does not understand with everything: nothing may be done with that."""
    with pytest.raises(CatalogBroken, match="did not filter"):
        ask(_over(lambda request: httpx2.Response(200, json={"count": 1, "results": [row]})))


def test_an_ignored_time_is_noticed(rig: Rig, catalog: AlyxCatalog):
    """Rows older than the watermark were not asked for."""
    catalog.register(registration(NAMES[0]))
    rows = catalog._http.get("/datasets")
    deaf = _over(lambda request: httpx2.Response(200, json=rows))

    with pytest.raises(CatalogBroken, match="did not filter by time"):
        list(deaf.datasets_changed(STORE, datetime(2999, 1, 1)))
    with pytest.raises(CatalogBroken, match="did not filter by repository"):
        list(deaf.datasets_changed("other", None))
    with pytest.raises(CatalogBroken, match="did not filter by session"):
        deaf.datasets_of_session(uuid4())


@pytest.mark.parametrize(
    "change", [{"exists": False}, {"json": {"a": 1}}, {"url": f"http://a/files/{uuid4()}"}]
)
def test_a_patch_that_changed_nothing_is_noticed(change: dict[str, object]):
    """Alyx ignores a key it does not know, with 200."""
    row = _record(exists=True) | {"json": {"b": 2}}
    deaf = _over(lambda request: httpx2.Response(200, json=row | change))

    with pytest.raises(AnswerDiffers):
        deaf.announce(UUID(str(row["url"])[-36:]), True, json={"b": 2})


@pytest.mark.parametrize(
    "answer", [None, [], {"count": 1}, {"count": "x", "results": []}, {"count": 1, "results": [{"url": 3}]}]
)
def test_a_list_of_another_shape_is_named(answer: object):
    """Not a TypeError."""
    with pytest.raises(CatalogBroken):
        _over(lambda request: httpx2.Response(200, json=answer)).missing_records(STORE)
