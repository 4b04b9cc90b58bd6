"""The benchmark of secrets notices what it promises to notice."""

import orjson
import pytest

from app.secrets import rotation
from bench import sealed, store
from tests.client import Person

SERVICE = 6  # in staging
KEYS = sealed.document(SERVICE)
NAME = next(iter(KEYS))


def answer(**changed: str) -> bytes:
    return orjson.dumps({"configs": {**KEYS, **changed}})


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (503, b'{"code":"sealed"}'),
        (200, answer(**{NAME: sealed.BULLETS})),
        (200, answer(**{NAME: sealed.value_of(SERVICE + 1, 0)})),
        (200, answer(more="")),
        (200, orjson.dumps({"configs": {}})),
    ],
)
def test_wrong_answers_are_noticed(status: int, content: bytes):
    assert sealed.wrong(SERVICE, 200, answer()) is None
    assert sealed.wrong(SERVICE, status, content)


def test_a_server_that_is_away_is_a_failure():
    readers = sealed.Readers(store.free_port(), "token", 1)
    readers.read_all()
    assert len(readers.failures) == len(readers.reads) == 1


def test_rows_under_old_keys_are_counted(ada: Person, database: str):
    config = {name: {"$secret": value} for name, value in KEYS.items()}
    place = sealed.address(SERVICE)
    answer = ada.update(place["app_id"], config, environment=place["environment"])
    assert answer.status_code == 200, answer.text
    yardstick = sealed.Yardstick(database)
    yardstick.update(len(KEYS))
    before, after = "data_key_id > 0", "data_key_id < 0"
    count = "SELECT count(*) FROM yardstick WHERE "
    assert sealed.query(database, count + before) == (0,)
    assert sealed.query(database, count + after) == (len(KEYS),)
    assert sealed.query(database, sealed.LEFT) == (len(KEYS),)
    rotation.rotate(lambda *_: None)
    assert sealed.query(database, sealed.LEFT) == (0,)
    fetched = ada.post("/api/v1/configs/fetch", place)
    assert sealed.wrong(SERVICE, fetched.status_code, fetched.content) is None
