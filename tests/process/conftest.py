from collections.abc import Iterator

import pytest

from tests.processes import Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Give a place for real processes, and leave none of them behind."""
    stage = Stage()
    yield stage
    stage.close()
