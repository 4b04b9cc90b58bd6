"""Nothing that an earlier test counted."""

import pytest

from app.usage.recorder import usage


@pytest.fixture(autouse=True)
def _nothing_counted() -> None:
    usage.__init__()
