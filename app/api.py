"""Which routers are mounted, in the order in which paths are tried."""

from fastapi import FastAPI

from app.accounts.router import router as accounts
from app.audit.router import router as audit
from app.documents.router import router as documents
from app.health.router import router as health


def mount(app: FastAPI) -> None:
    """Mount every surface; health comes before `/config/{service}`."""
    for router in (health, accounts, documents, audit):
        app.include_router(router)
