"""FastAPI: a client that lives as long as the application, and one config for each request.

client = ConfigClient(app_id="billing")
app = FastAPI(lifespan=lifespan(client))

@app.get("/")
async def root(config: Config) -> str:
    return config.require("greeting")
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends
from fastapi.requests import HTTPConnection

from configsync._client import ConfigClient
from configsync._snapshot import Snapshot


def lifespan(
    client: ConfigClient, *, interval: float = 60
) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """Return a lifespan that starts the client before the first request and closes it at the end.

    The application does not start without any config; see `ConfigClient.initialize`.
    """

    @asynccontextmanager
    async def run(app: Any) -> AsyncIterator[None]:
        async with client:
            await client.start_auto_refresh(interval)
            app.state.configsync = client
            yield

    return run


def get_config(connection: HTTPConnection) -> Snapshot:
    """Return the config of one moment, the same for the whole request."""
    client: ConfigClient = connection.app.state.configsync
    return client.snapshot()


Config = Annotated[Snapshot, Depends(get_config)]
