"""Ways around a right: what one call refuses, no other call gives."""

from typing import Any

import pytest

from tests.client import Person, assert_problem, program
from tests.matrix.stage import ACTIONS

PRODUCTION = {"environment": "production"}


def restore(person: Person, **body: Any):
    return person.post("/api/v1/workspaces/ada/restore", body)


def test_restoring_protected_environments_needs_publish(ada: Person):
    ada.update("billing", {"a": 1})
    ada.update("billing", {"a": 2}, **PRODUCTION)
    protected = ada.request("PATCH", "/environments/production", json={"protected": True})
    assert protected.status_code == 200
    key = program(ada, actions=["read", "write", "admin"])
    answer = key.update("billing", {"a": 3}, **PRODUCTION)
    assert_problem(answer, 403, "protected_environment")
    for dry_run in (True, False):
        assert restore(key, at=1, dry_run=dry_run).status_code == 403
    assert ada.get("/config/get", service="billing", **PRODUCTION).json()["config"] == {"a": 2}


@pytest.mark.parametrize("scopes", [{"services": ["web*"]}, {"environments": ["qa*"]}], ids=repr)
@pytest.mark.parametrize("dry_run", [True, False])
def test_restoring_needs_a_key_for_everything(ada: Person, scopes: dict[str, Any], dry_run: bool):
    for number in (1, 2):
        ada.update("billing", {"a": number})
    key = program(ada, actions=list(ACTIONS), **scopes)
    assert_problem(restore(key, at=1, dry_run=dry_run), 403, "outside_scope")
    assert ada.get("/config/get", service="billing").json()["version"] == 2


def test_an_environment_is_not_renamed_out_of_scope(ada: Person):
    for name in ("qa1", "web"):
        assert ada.post("/environments", {"name": name}).status_code == 201
    key = program(ada, actions=["read", "admin"], environments=["qa*"])
    path, body = "/environments/{}", {"name": "elsewhere"}
    answer = key.request("PATCH", path.format("web"), json=body)
    assert_problem(answer, 403, "outside_scope")
    answer = key.request("PATCH", path.format("qa1"), json=body)
    assert_problem(answer, 403, "outside_scope")
    inside = key.request("PATCH", path.format("qa1"), json={"name": "qa2"})
    assert inside.status_code == 200
