"""Tokens, refreshes, consents and logins, as the SDK's applications ask for them."""

from collections.abc import Iterator
from contextlib import closing

import globus_sdk
import pytest
from globus_sdk.login_flows import CommandLineLoginFlowManager
from rig_and_store import Lab, client_of

from sandbox.globus import SandboxGlobus


def test_an_expired_token_is_renewed_once_by_the_sdk(lab: Lab):
    """401 AuthenticationFailed; a client that may retry gets another token and asks again."""
    app, client = client_of(lab.globus, lab.store, retries=1)
    client.task_list()
    before = lab.globus.requests.count("POST", "/v2/oauth2/token")
    lab.globus.expire_tokens()
    assert list(client.task_list()) == []
    assert lab.globus.requests.count("POST", "/v2/oauth2/token") == before + 1
    client.close()
    app.close()


def test_a_token_runs_out_with_the_clock(lab: Lab):
    lab.client.task_list()
    authorizer = globus_sdk.AccessTokenAuthorizer(_access(lab.globus))
    with closing(globus_sdk.TransferClient(authorizer=authorizer)) as bare:
        assert list(bare.task_list()) == []
        lab.globus.advance(172_801)
        with pytest.raises(globus_sdk.TransferAPIError) as refused:
            bare.task_list()
    assert (refused.value.http_status, refused.value.code) == (401, "AuthenticationFailed")


def test_no_or_a_foreign_token_is_refused(globus: SandboxGlobus):
    """A token of Auth is none for Transfer."""
    with (
        closing(globus_sdk.TransferClient()) as nobody,
        pytest.raises(globus_sdk.TransferAPIError) as refused,
    ):
        nobody.task_list()
    assert refused.value.http_status == 401
    foreign = globus_sdk.AccessTokenAuthorizer(_access(globus, "openid", "auth.globus.org"))
    with (
        closing(globus_sdk.TransferClient(authorizer=foreign)) as stranger,
        pytest.raises(globus_sdk.TransferAPIError),
    ):
        stranger.task_list()


def _access(
    globus: SandboxGlobus,
    scope: str = "urn:globus:auth:scope:transfer.api.globus.org:all",
    server: str = "transfer.api.globus.org",
) -> str:
    with closing(globus_sdk.ConfidentialAppAuthClient(globus.client_id, globus.client_secret)) as auth:
        answer = auth.oauth2_client_credentials_tokens(requested_scopes=scope)
        return str(answer.by_resource_server[server]["access_token"])


def test_one_token_for_each_resource_server(globus: SandboxGlobus):
    scopes = ["openid", "urn:globus:auth:scope:transfer.api.globus.org:all", "email"]
    with closing(globus_sdk.ConfidentialAppAuthClient(globus.client_id, globus.client_secret)) as auth:
        answer = auth.oauth2_client_credentials_tokens(requested_scopes=scopes)
    assert set(answer.by_resource_server) == {"auth.globus.org", "transfer.api.globus.org"}
    assert answer.by_resource_server["auth.globus.org"]["scope"] == "openid email"


@pytest.mark.parametrize("change", ["id", "secret"])
def test_a_wrong_client_is_refused(globus: SandboxGlobus, change: str):
    key = "nobody" if change == "id" else globus.client_id
    with (
        closing(globus_sdk.ConfidentialAppAuthClient(key, "wrong")) as auth,
        pytest.raises(globus_sdk.AuthAPIError) as refused,
    ):
        auth.oauth2_client_credentials_tokens(requested_scopes="openid")
    assert refused.value.http_status == 401
    assert (refused.value.raw_json or {})["error"] == "invalid_client"


def test_a_mapped_collection_asks_for_consent(lab: Lab):
    """Operations and submissions; the error names the scope, and with it the way is open."""
    app, client = client_of(lab.globus)
    lab.write("a.npy")
    document = lab.transfer(("/a.npy", "/a.npy"))
    lab.globus.withdraw_consent(lab.store)
    for ask in (
        lambda: client.operation_ls(lab.store),
        lambda: client.submit_transfer(document),
    ):
        with pytest.raises(globus_sdk.TransferAPIError) as refused:
            ask()
        assert refused.value.http_status == 403
        assert refused.value.info.consent_required
        (scope,) = refused.value.info.consent_required.required_scopes or []
        assert scope == (
            "urn:globus:auth:scope:transfer.api.globus.org:all"
            f"[*https://auth.globus.org/scopes/{lab.store}/data_access]"
        )
    assert list(client.operation_ls(lab.source)) != []
    # A consent belongs to the identity: the token we have is good from then on.
    client.add_app_data_access_scope(lab.store)
    app.login(force=True)
    assert list(client.operation_ls(lab.store)) == []
    client.close()
    app.close()


def test_only_mapped_collections_have_a_data_access_scope(lab: Lab):
    app, client = client_of(lab.globus, lab.source)
    with pytest.raises(globus_sdk.AuthAPIError) as refused:
        client.task_list()
    assert (refused.value.raw_json or {})["error"] == "unknown_scope"
    client.close()
    app.close()


class _Approving(CommandLineLoginFlowManager):
    """A person who opens the address and types the code, without a terminal."""

    globus: SandboxGlobus

    def print_authorize_url(self, authorize_url: str) -> None:
        self.code = self.globus.approve(authorize_url)

    def prompt_for_code(self) -> str:
        return self.code


@pytest.fixture
def user(lab: Lab) -> Iterator[globus_sdk.UserApp]:
    login = type("Approving", (_Approving,), {"globus": lab.globus})
    config = globus_sdk.GlobusAppConfig(
        token_storage="memory", request_refresh_tokens=True, login_flow_manager=login
    )
    app = globus_sdk.UserApp("test", client_id=lab.globus.native_client_id, config=config)
    with closing(app):
        yield app


def test_a_person_logs_in_and_stays_logged_in(lab: Lab, user: globus_sdk.UserApp):
    """Code and verifier, ID token with its signature, consents of dependent scopes, refresh."""
    with closing(globus_sdk.TransferClient(app=user)) as client:
        client.add_app_data_access_scope(lab.store)
        user.login()
        assert list(client.operation_ls(lab.store)) == []
        lab.globus.expire_tokens()
        assert list(client.task_list()) == []
        lab.write("a.npy")
        task = client.submit_transfer(lab.transfer(("/a.npy", "/a.npy")))["task_id"]
        assert lab.globus.wait(task)["owner_id"] == lab.globus.person


def test_a_revoked_login_cannot_be_refreshed(lab: Lab, user: globus_sdk.UserApp):
    with closing(globus_sdk.TransferClient(app=user)) as client:
        client.retry_config.max_retries = 1
        user.login()
        client.task_list()
        lab.globus.revoke_refresh_tokens()
        with pytest.raises(globus_sdk.AuthAPIError) as refused:
            client.task_list()
    assert refused.value.http_status == 400
    assert (refused.value.raw_json or {})["error"] == "invalid_grant"


def test_a_code_is_good_once_and_for_its_verifier(globus: SandboxGlobus):
    with closing(globus_sdk.NativeAppAuthClient(globus.native_client_id)) as auth:
        auth.oauth2_start_flow(requested_scopes="openid", redirect_uri="http://127.0.0.1:9/back")
        code = globus.approve(auth.oauth2_get_authorize_url())
        assert auth.oauth2_exchange_code_for_tokens(code).decode_id_token()["sub"] == globus.person
        for text in (code, "never issued"):
            with pytest.raises(globus_sdk.AuthAPIError):
                auth.oauth2_exchange_code_for_tokens(text)
        url = auth.oauth2_get_authorize_url()
        auth.oauth2_start_flow(requested_scopes="openid")
        with pytest.raises(globus_sdk.AuthAPIError):
            auth.oauth2_exchange_code_for_tokens(globus.approve(url))
