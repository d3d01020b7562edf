"""A worker process says by itself that it lives, how long Alyx takes, and that it stops."""

from collections.abc import Callable

import pytest

from tests.integration.lab import until
from tests.ledger.build import Place
from transfer.errors import LedgerUnavailable
from transfer.ledger import endpoints
from transfer.ledger.endpoints import ALYX
from transfer.ledger.glance import crew
from workers.living import living


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'ledger.sqlite'}")


def standings(place: Place) -> list[str]:
    return [one.standing for one in crew.workers(place.ledger)]


def latency_ms(place: Place) -> object:
    seen = endpoints.state(place.ledger, ALYX)
    assert seen is not None
    return seen.capabilities.get("latency_ms")


def test_a_worker_lives_while_it_works_and_stops_when_it_stops(place: Place) -> None:
    endpoints.ensure(place.ledger, [ALYX])
    with living(place.ledger, version="1", hands=4, duty="cortexlab", latency=lambda: 0.035):
        until(lambda: standings(place) == ["alive"], "it says that it lives")
        until(lambda: latency_ms(place) == 35, "it says how long Alyx takes")
    assert standings(place) == ["stopped"]


def test_a_ledger_that_is_away_keeps_no_worker_from_its_work(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Callable[..., None]] = []

    def away(*_: object, **__: object) -> None:
        asked.append(away)
        raise LedgerUnavailable("the database does not answer", to="sqlite")

    monkeypatch.setattr(crew, "here", away)
    monkeypatch.setattr(crew, "gone", away)
    with living(place.ledger, version="1", hands=4, duty="cortexlab", latency=lambda: None):
        until(lambda: bool(asked), "it tries to say that it lives")
    assert len(asked) >= 2
