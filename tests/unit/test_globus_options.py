"""What a config may say about a Globus store, and what it may not."""

import json
import threading
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from transfer.transports.globus.login import Bearer, Token, Tokens
from transfer.transports.globus.options import GlobusOptions

LEAST: dict[str, Any] = {
    "client_id": str(UUID(int=1)),
    "client_secret": "hunter2",
    "collection": str(UUID(int=2)),
    "root": "/mnt/ibl/cortexlab/Subjects",
    "sources": {"cortexlab_SR": {"collection": str(UUID(int=3)), "root": "/E/Data/Subjects"}},
}
PERSON = {"login": "user", "client_secret": None, "token_file": "/var/lib/alyx-transfer/globus.json"}


def options(**changed: Any) -> GlobusOptions:
    return GlobusOptions.model_validate({**LEAST, **changed})


def test_the_least_is_enough_and_encrypts() -> None:
    assert options().encrypt
    assert options().address == f"globus://{UUID(int=2)}"


def test_no_text_made_of_options_tells_the_secret() -> None:
    told = f"{options()!r} {options()} {options().model_dump_json()} {options().address} {options().scope}"
    assert "hunter2" not in told


@pytest.mark.parametrize(
    "changed",
    [
        {"client_secret": None},
        {"client_secret_file": "/etc/secret"},
        {"token_file": "/var/lib/x"},
        {**PERSON, "client_secret": "hunter2"},
        {**PERSON, "token_file": None},
        {"client_secret": None, "client_secret_file": "secret"},
        {"root": "Subjects"},
        {"root": "/Subjects/../other"},
        {"sources": {}},
        {"sources": {"lab": {"collection": str(UUID(int=3)), "root": "E:\\Data"}}},
        {"pending": 101},
        {"batch_files": 0},
        {"task_hours": 0},
        {"poll_seconds": 0},
        {"connections": 0},
        {"service_url": "http://transfer.example.org"},
        {"auth_url": "https://user:password@auth.example.org"},
        {"auth_url": "auth.example.org"},
        {"colection": "x"},
    ],
    ids=lambda changed: "-".join(changed),
)
def test_what_cannot_be_meant_is_refused_without_telling_the_secret(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        options(**changed)
    assert "hunter2" not in str(refused.value)


def test_a_person_needs_a_file_and_no_secret() -> None:
    assert options(**PERSON).token_file == Path("/var/lib/alyx-transfer/globus.json")


def test_files_may_be_named_from_home() -> None:
    file = options(**{**PERSON, "token_file": "~/globus.json"}).token_file

    assert file == Path.home() / "globus.json"


@pytest.mark.parametrize("url", ["https://transfer.example.org", "http://127.0.0.1:9/", "http://localhost:9"])
def test_an_address_may_be_another_one(url: str) -> None:
    assert options(service_url=url).service_url == url.rstrip("/") + "/"


def test_the_consents_are_part_of_the_one_scope() -> None:
    both = options(data_access=[UUID(int=2), UUID(int=3)]).scope

    assert options().scope == "urn:globus:auth:scope:transfer.api.globus.org:all"
    assert both == (
        "urn:globus:auth:scope:transfer.api.globus.org:all"
        f"[*https://auth.globus.org/scopes/{UUID(int=2)}/data_access"
        f" *https://auth.globus.org/scopes/{UUID(int=3)}/data_access]"
    )


def test_sizes_may_be_texts() -> None:
    assert options(batch_bytes="1 GiB").batch_bytes == 1024**3
    assert json.loads(options().model_dump_json())["large_bytes"] == 10 * 1024**3


# ---- tokens


def test_a_token_is_asked_for_once_and_again_shortly_before_it_ends() -> None:
    ends = iter([1e12, 0.0, 1e12])
    asked: list[float] = []

    def renew() -> Token:
        asked.append(next(ends))
        return Token(f"t{len(asked)}", asked[-1])

    tokens = Tokens(renew)
    assert {tokens.current().value for _ in range(5)} == {"t1"}
    tokens.refused(tokens.current())  # the second one is over as soon as it is there
    assert tokens.current().value == "t3"
    assert len(asked) == 3


def test_hands_whose_token_is_refused_at_the_same_time_share_the_next_one() -> None:
    number = iter(range(100))
    tokens = Tokens(lambda: Token(f"t{next(number)}", 1e12))
    hands = [Bearer(tokens) for _ in range(8)]
    assert {hand.get_authorization_header() for hand in hands} == {"Bearer t0"}

    threads = [threading.Thread(target=hand.handle_missing_authorization) for hand in hands]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {hand.get_authorization_header() for hand in hands} == {"Bearer t1"}


def test_a_login_that_fails_leaves_no_old_token_behind() -> None:
    answers = iter([Token("t1", 1e12)])

    def renew() -> Token:
        found = next(answers, None)
        if found is None:
            raise ConnectionError("away")
        return found

    tokens = Tokens(renew)
    first = tokens.current()
    with pytest.raises(ConnectionError):
        tokens.refused(first)
    with pytest.raises(ConnectionError):
        tokens.current()
    assert "t1" not in repr(first)
