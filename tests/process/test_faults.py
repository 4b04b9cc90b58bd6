"""The short form of `make faults`: one round of everything."""

from tests import faults


def test_nothing_is_lost_whatever_breaks():
    seen, done, found = faults.run(seconds=1)
    assert found == []
    assert set(done.values()) == {1}
    assert len(seen.acknowledged) > 50
