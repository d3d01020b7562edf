"""The pages: HTML made on the server from the same questions as the API."""

from fastapi import APIRouter

router = APIRouter()
