"""Puts the application together, and serves it."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp

from dashboard import api, health, metrics, pages
from dashboard.access.entrance import entrance
from dashboard.access.guard import LARGEST, Guard
from dashboard.access.streams import Streams
from dashboard.api.description import describe
from dashboard.api.problems import add_problems, answer, problem_of
from dashboard.board import Board
from dashboard.pages import failures
from dashboard.pages.entrance import add_entrance

STATIC = Path(__file__).with_name("static")


class Application(FastAPI):
    """The application with its guard outermost: FastAPI's own place for such things is inside its last answers.

    `streams` are those that are open now.  The document of the API is a call of its own, because it needs a login;
    FastAPI's documentation pages load scripts from elsewhere.
    """

    def __init__(self, board: Board) -> None:
        super().__init__(
            title="alyx-transfer",
            version=board.version,
            docs_url=None,
            redoc_url=None,
            openapi_url=None,
            max_body_size=LARGEST,
        )
        self.state.board = board
        self.state.entrance = entrance(board)
        self.streams = Streams()

    def build_middleware_stack(self) -> ASGIApp:
        """As FastAPI builds it, behind the guard."""
        return Guard(
            super().build_middleware_stack(),
            self.state.board.settings.dashboard,
            self.streams,
            lambda _request, error, status: answer(problem_of(error, status=status)),
        )


def create(board: Board) -> Application:
    """The application.  Raises `ConfigProblems` where its secret cannot be read or made."""
    app = Application(board)
    add_problems(app, failures.show)
    add_entrance(app)
    describe(app)
    app.include_router(api.router)
    app.include_router(health.router)
    app.include_router(metrics.router)
    app.include_router(pages.router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app
