"""The short form of `python -m tests.histories`: everything breaks once."""

from tests import histories


def test_every_history_is_whole_whatever_breaks():
    result = histories.run(seconds=1, crowd=500)
    assert result.found == []
    assert set(result.faults.values()) == {1}
    assert result.commits > 50
    assert result.frames > 20 * 30
    assert result.seen["opened"] > 40  # all came back
    assert not any("410" in one for one in result.seen)
