"""`/api/v1`: everything the pages show and do, for programs."""

from fastapi import APIRouter

router = APIRouter(prefix="/api/v1")
