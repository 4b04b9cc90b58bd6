"""pytest: a client with values that are given, for code that takes a client."""

from collections.abc import Iterator

from pytest import fixture  # noqa: PT013  (this module has its name)

from configsync._static import StaticClient


@fixture
def configsync_static() -> Iterator[StaticClient]:
    """Give an empty static client: `set` and `override` change its values."""
    client = StaticClient()
    yield client
    client.close()
