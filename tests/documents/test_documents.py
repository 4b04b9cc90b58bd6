"""The everyday job, as a user does it."""

from tests.client import Person, assert_problem


def test_a_document_comes_back_as_it_was_written(ada: Person):
    text = '{"name":"billing","config":{"z":1e2,"a":{"b":-0.0,"c":[1.50,-0]},"a.b":null}}'
    answer = ada.request(
        "POST",
        "/config/update",
        content=text,
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 200
    got = ada.get("/config/get", service="billing")
    assert '"config":{"z":1e2,"a":{"b":-0.0,"c":[1.50,-0]},"a.b":null}' in got.text
    assert got.headers["etag"] == answer.headers["etag"]


def test_equal_content_makes_no_version(ada: Person):
    first = ada.update("billing", {"a": 1, "b": 2}).json()
    again = ada.update("billing", {"b": 2, "a": 1}).json()
    assert (again["version"], again["revision"]) == (first["version"], first["revision"]) == (1, 1)


def test_the_tour(ada: Person):
    ada.update("billing", {"timeout": 30}, message="first")
    second = ada.update("billing", {"timeout": 60}).json()
    assert (second["version"], second["revision"]) == (2, 2)
    one, two = ada.version_ids("billing")
    diff = ada.get("/config/diff", service="billing", version1_id=one, version2_id=two).json()
    assert diff["patch"] == [{"op": "replace", "path": "/timeout", "value": 60}]
    assert diff["summary"] == {"added": 0, "removed": 0, "changed": 1}
    assert diff["diff"]["values_changed"] == {"root['timeout']": {"old_value": 30, "new_value": 60}}
    back = ada.request("POST", "/config/rollback", params={"service": "billing", "version_id": one})
    assert (back.json()["version"], back.json()["config"]) == (3, {"timeout": 30})
    gone = ada.request("DELETE", "/config/delete", params={"service": "billing"})
    assert gone.json() == {"detail": "Configuration deleted"}
    assert_problem(ada.get("/config/get", service="billing"), 404, "config_not_found")
    restored = ada.request("POST", "/config/restore", params={"service": "billing"}).json()
    assert (restored["version"], restored["config"]) == (5, {"timeout": 30})
    actions = [v["action"] for v in ada.get("/config/versions", name="billing").json()["versions"]]
    assert actions == ["restore", "delete", "rollback", "update", "create"]


def test_health_refuses_what_it_does_not_know(ada: Person):
    for path in ("/health", "/config/health", "/api/v1/health/live", "/api/v1/health/ready"):
        assert_problem(ada.get(path, verbose="1"), 422, "unknown_parameter")
        assert ada.get(path).status_code == 200
