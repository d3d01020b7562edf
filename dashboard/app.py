"""Puts the application together, and serves it."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from dashboard import api, health, metrics, pages
from dashboard.api.description import describe
from dashboard.api.problems import add_problems
from dashboard.board import Board

STATIC = Path(__file__).with_name("static")


def create(board: Board) -> FastAPI:
    """The application.  Its documentation pages are its own: those of FastAPI load scripts from elsewhere."""
    app = FastAPI(
        title="alyx-transfer",
        version=board.version,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )
    app.state.board = board
    add_problems(app)
    describe(app)
    app.include_router(api.router)
    app.include_router(health.router)
    app.include_router(metrics.router)
    app.include_router(pages.router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app
