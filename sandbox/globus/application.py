"""From a request to a view and back: counting, scripted faults, token, view, error."""

import asyncio
import json
import re
import secrets
from collections.abc import Callable

from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sandbox.alyx.counting import Requests
from sandbox.globus.administration import Administration
from sandbox.globus.errors import Refused, RefusedLogin
from sandbox.globus.faults import RequestFault
from sandbox.globus.login import Login
from sandbox.globus.monitoring import Monitoring
from sandbox.globus.operations import Operations
from sandbox.globus.requesting import Answer, Document, Request
from sandbox.globus.state import State
from sandbox.globus.submitting import Submitting
from sandbox.globus.tokens import Tokens

View = Callable[[Request], Document | Answer]
_OPERATION = "/v0.10/operation/endpoint/<endpoint>"


class Application:
    """The ASGI application."""

    def __init__(self, state: State, tokens: Tokens, login: Login) -> None:
        self.requests = Requests()
        self.transports: dict[tuple[str, int], asyncio.Transport] = {}
        self._state, self._tokens = state, tokens
        table = {**_auth(login), **_transfer(state, tokens), **_administration(state)}
        self._routes = [
            (method, re.compile(re.sub(r"<(\w+)>", r"(?P<\1>[^/]+)", path) + "$"), path, view)
            for (method, path), view in table.items()
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        http = HttpRequest(scope, receive)
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        query = scope["query_string"].decode("latin-1")
        request = Request(scope["method"], scope["path"], query, headers, await http.body())
        view = self._find(request)
        self.requests.note(request.method, request.template)
        fault = self._state.faults.take(request.method, request.path)
        # Views may wait (for a file on its way, for a disk), so they run in threads.
        answer = await (self._faulty(fault, view, request) if fault else self._answer(view, request))
        if answer is None:
            self.transports[scope["client"]].abort()
        else:
            await _response(answer)(scope, receive, send)

    def _find(self, request: Request) -> View | None:
        request.template = request.path
        for method, pattern, template, view in self._routes:
            found = pattern.match(request.path)
            if found and method == request.method:
                request.args, request.template = found.groupdict(), template
                return view
        return None

    async def _faulty(self, fault: RequestFault, view: View | None, request: Request) -> Answer | None:
        if fault.delay:
            await asyncio.sleep(fault.delay)
        answer: Answer | None = None
        if fault.after_work or not (fault.drop or fault.status):
            answer = await self._answer(view, request)
        if fault.drop:
            return None
        if fault.status:
            headers = {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}
            refused = Refused(fault.status, fault.code, "scripted fault")
            return Answer(fault.status, _refusal(refused, request), headers)
        return answer

    async def _answer(self, view: View | None, request: Request) -> Answer:
        return await asyncio.to_thread(self._work, view, request)

    def _work(self, view: View | None, request: Request) -> Answer:
        try:
            if view is None:
                raise Refused(404, "ClientError.NotFound", "Resource not found")
            if request.path.startswith("/v0.10/"):
                request.caller = self._caller(request)
            answer = view(request)
        except Refused as error:
            return Answer(error.status, _refusal(error, request))
        except RefusedLogin as error:
            return Answer(error.status, error.body)
        if isinstance(answer, Answer):
            return answer
        # Results, which have a code, also say which request they answer; documents of things do not.
        return Answer(200, {**answer, **_trace(request)} if "code" in answer else answer)

    def _caller(self, request: Request) -> str:
        kind, _, text = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            raise Refused(401, "AuthenticationFailed", "No credentials supplied")
        return self._tokens.caller(text)


def _auth(login: Login) -> dict[tuple[str, str], View]:
    return {
        ("POST", "/v2/oauth2/token"): login.token,
        ("GET", "/v2/oauth2/authorize"): login.authorize,
        ("POST", "/v2/oauth2/token/validate"): login.validate,
        ("POST", "/v2/oauth2/token/revoke"): login.revoke,
        ("GET", "/v2/oauth2/userinfo"): login.userinfo,
        ("GET", "/v2/api/identities"): login.identities,
        ("GET", "/v2/api/identities/<identity>/consents"): login.consents,
        ("GET", "/.well-known/openid-configuration"): login.configuration,
        ("GET", "/jwk.json"): login.keys,
    }


def _transfer(state: State, tokens: Tokens) -> dict[tuple[str, str], View]:
    submitting, tasks, operations = Submitting(state, tokens), Monitoring(state), Operations(state, tokens)
    return {
        ("GET", "/v0.10/submission_id"): submitting.submission_id,
        ("POST", "/v0.10/transfer"): submitting.transfer,
        ("POST", "/v0.10/delete"): submitting.delete,
        ("GET", "/v0.10/task_list"): tasks.task_list,
        ("GET", "/v0.10/task/<task>"): tasks.task,
        ("PUT", "/v0.10/task/<task>"): tasks.update,
        ("POST", "/v0.10/task/<task>/cancel"): tasks.cancel,
        ("GET", "/v0.10/task/<task>/event_list"): tasks.events,
        ("GET", "/v0.10/task/<task>/successful_transfers"): tasks.successful_transfers,
        ("GET", "/v0.10/task/<task>/skipped_errors"): tasks.skipped_errors,
        ("GET", "/v0.10/task/<task>/pause_info"): tasks.pause_info,
        ("GET", "/v0.10/endpoint_search"): operations.search,
        ("GET", "/v0.10/endpoint/<endpoint>"): operations.endpoint,
        ("GET", f"{_OPERATION}/ls"): operations.ls,
        ("GET", f"{_OPERATION}/stat"): operations.stat,
        ("POST", f"{_OPERATION}/mkdir"): operations.mkdir,
        ("POST", f"{_OPERATION}/rename"): operations.rename,
    }


def _administration(state: State) -> dict[tuple[str, str], View]:
    views = Administration(state)
    return {
        ("PUT", "/v0.10/endpoint/<endpoint>"): views.update_endpoint,
        ("GET", "/v0.10/endpoint_manager/task_list"): views.task_list,
        ("GET", "/v0.10/endpoint_manager/task/<task>/successful_transfers"): views.successful_transfers,
    }


def _refusal(error: Refused, request: Request) -> Document:
    return {"code": error.code, "message": error.message, **_trace(request), **error.more}


def _trace(request: Request) -> Document:
    return {"request_id": secrets.token_urlsafe(6), "resource": request.path}


def _response(answer: Answer) -> Response:
    if answer.text is not None:
        return Response(answer.text, answer.status, answer.headers, media_type="text/plain")
    return Response(json.dumps(answer.body), answer.status, answer.headers, media_type="application/json")
