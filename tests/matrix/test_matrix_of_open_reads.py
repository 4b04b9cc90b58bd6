"""Open reads: nobody reads the values of `default`, and does nothing else."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from tests.client import Person
from tests.flags.calls import PRODUCTION, SEGMENTS, make
from tests.matrix.routes import ARRIVAL, LINES, MARK, OPEN, READ, ROTATOR, STORED, Line
from tests.matrix.stage import fill, snapshot

Names = Callable[[Line], dict[str, object]]
SETTINGS = {"REQUIRE_API_KEY": "false", "ALLOW_ANONYMOUS_ACCESS": "true"}


def is_open(line: Line) -> bool:
    """Say whether nobody may make the call: reads, but not of workspaces themselves."""
    closed = ("/api/v1/workspaces", "/api/v1/instances/report")
    return line.needs == READ and not line.path.startswith(closed)


@pytest.fixture
def names(client: TestClient, admin: Person, ada: Person) -> dict[str, object]:
    """Return what calls are about: the same in `default` and in somebody's own workspace."""
    for person in (ada, admin):
        for number in (1, 2):
            person.update("billing", {"token": STORED, "n": f"{STORED} {number}"})
        [key] = person.get("/api/v1/configs", prefix="n").json()["configs"]
        answer = person.request("PUT", f"/api/v1/config/{key['id']}/rotator", json=ROTATOR)
        assert answer.status_code == 200, answer.text
    old, new = admin.version_ids("billing")
    names = {
        **dict.fromkeys(("service", "service_name", "name", "reference"), "billing"),
        **dict.fromkeys(("key_id", "config_id"), key["id"]),
        **dict.fromkeys(("user_id", "event_id"), 1),
        **dict.fromkeys(("username", "user", "fresh", "handle"), "nobody"),
    }
    others = {"version_id": old, "other_version_id": new, "environment": None, "key": "n"}
    return {**names, **others, "slug": "default", "role": "viewer", "password": "x" * 20}


@pytest.fixture
def names_of(
    names: dict[str, object], admin: Person, ada: Person
) -> Callable[[Line], dict[str, object]]:
    """Return what gives the names of a line's call."""
    for person in (ada, admin):
        flag = make(person, "checkout")
        assert person.post(SEGMENTS, {"name": "staff"}).status_code == 201
    of_flags = {"name": "checkout", "key": "checkout", "flag_id": flag["id"]}
    more = {
        "flag": {**of_flags, "environment": PRODUCTION},
        "segment": {"name": "staff"},
    }
    return lambda line: names | more.get(line.uses, {})


@pytest.mark.parametrize("variables", [SETTINGS])
def test_nobody_reads_default_and_nothing_else(client: TestClient, names_of: Names):
    before, wrong = snapshot(), []
    for line in LINES:
        if line.needs in {OPEN, ARRIVAL}:
            continue
        names = names_of(line)
        call = {"params": fill(line.query, names), "headers": {"Content-Type": line.content_type}}
        if line.body is not None:
            call["json"] = fill(line.body, names)
        path = fill(line.path, names)
        answer = client.request(line.method, path, **call)
        if answer.status_code not in ({200, 201, 204} if is_open(line) else {401}):
            wrong.append(f"{line.name}: {answer.status_code} {answer.text[:300]}")
        if line.shows and (MARK in answer.text) != is_open(line):
            wrong.append(f"{line.name} shows: {answer.text[:300]}")
        call["params"] |= {"workspace": "ada"}
        answer = client.request(line.method, path, **call)
        if answer.status_code not in {401, 422} or MARK in answer.text:
            wrong.append(f"{line.name} of ada: {answer.status_code} {answer.text[:300]}")
    assert wrong == []
    assert snapshot() == before


@pytest.mark.parametrize("variables", [{name: value} for name, value in SETTINGS.items()])
def test_one_setting_alone_opens_nothing(client: TestClient, names_of: Names):
    for line in LINES:
        if is_open(line):
            names = names_of(line)
            query, body = fill(line.query, names), fill(line.body, names)
            answer = client.request(line.method, fill(line.path, names), params=query, json=body)
            assert answer.status_code == 401, line.name
