"""Which routers are mounted, in the order in which paths are tried."""

from fastapi import FastAPI

from app.accounts.router import router as accounts
from app.api_keys.router import router as api_keys
from app.audit.router import router as audit
from app.changesets.router import router as changesets
from app.comparisons.router import router as comparisons
from app.documents.router import router as documents
from app.environments.router import router as environments
from app.feature_flags.history import router as flag_history
from app.feature_flags.router import router as feature_flags
from app.feature_flags.segments import router as segments
from app.health.router import router as health
from app.instances.router import router as instances
from app.keys.items import router as items
from app.keys.router import router as keys
from app.metrics.router import router as metrics
from app.names.router import router as names
from app.ofrep.router import router as ofrep
from app.realtime.refetching import router as refetching
from app.realtime.router import router as streams
from app.restoration.router import router as restoration
from app.rotators.router import router as rotators
from app.secrets.router import router as secrets
from app.usage.router import router as usage
from app.workspaces.router import router as workspaces

ROUTERS = (
    *(health, metrics, accounts, documents, environments, names),
    *(usage, flag_history, feature_flags, segments, keys, rotators, items, changesets, comparisons),
    *(secrets, streams),
    *(workspaces, restoration, api_keys, audit, instances, ofrep, refetching),
)


def mount(app: FastAPI) -> None:
    """Mount every surface; health before `/config/{service}`, rotators before keys by name."""
    for router in ROUTERS:
        app.include_router(router)
