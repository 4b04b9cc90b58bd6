"""A change set of keys and flags, as the feed tells of it."""

from tests.flags.calls import PRODUCTION
from tests.keys.calls import CHANGES
from tests.realtime.conftest import Place


def test_keys_flags_and_segments_are_one_frame(place: Place):
    person = place.person()
    with place.stream(person) as stream:
        stream.open().frame()  # hello
        answer = person.post(
            CHANGES,
            {
                "message": "together",
                "changes": [
                    {"service": "billing", "key": "a", "op": "set", "value": 1},
                    {"flag": "f", "environment": PRODUCTION, "op": "set", "is_enabled": True},
                    {"segment": "s", "op": "set", "included": ["eve"]},
                ],
            },
        )
        assert answer.status_code == 200, answer.text
        frame = stream.frame()
    assert frame is not None
    assert (frame.revision, frame.data["message"]) == (1, "together")
    told = {(one["resource_type"], one["key"]) for one in frame.data["changes"]}
    assert told == {("key", "a"), ("feature_flag", "f"), ("segment", "s")}
