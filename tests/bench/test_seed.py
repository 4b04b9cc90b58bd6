"""A seeded workspace is like one that was written through the server."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from app.core import db
from app.formats import json
from bench import seed
from bench.seed import ACTOR, STAGES
from tests.client import Person

ROOT = Path(__file__).resolve().parents[2]
SERVICES, KEYS, VERSIONS = 20, 12, 300
WORDS = ["--services", str(SERVICES), "--keys", str(KEYS), "--versions", str(VERSIONS)]
SERVICE, WORKSPACE = "service-00007", {"workspace": "bench"}


@pytest.fixture
def seeded(admin: Person) -> Person:
    """Return the admin of a server that has a seeded workspace."""
    assert seed.main(WORDS) == 0
    return admin


def stored(person: Person, service: str = SERVICE, environment: str | None = "staging", **more):
    params = {"service": service, **WORKSPACE, **more}
    if environment:
        params["environment"] = environment
    answer = person.get("/config/get", **params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def keys(person: Person, **params) -> list[dict]:
    answer = person.get("/api/v1/configs", page_size=500, **WORKSPACE, **params)
    assert answer.status_code == 200, answer.text
    return answer.json()["configs"]


def test_keys_and_documents_agree(seeded: Person):
    for service, environment in (
        (SERVICE, "staging"),
        (SERVICE, "testing"),
        ("_global", "testing"),
        ("_global", None),
    ):
        document = stored(seeded, service, environment)["config"]
        found = keys(
            seeded, app_id=service, **({"environment": environment} if environment else {})
        )
        mine = [key for key in found if key["environment"] == environment]
        assert {key["key"]: key["value"] for key in mine} == document
        assert len(document) == KEYS


def test_revisions_and_versions_are_gapless_and_agree(seeded: Person):
    with db.transaction() as session:
        one = session.execute(text(SUMS)).one()._asdict()
    assert one == {
        "head": VERSIONS - len(STAGES),
        "revisions": VERSIONS - len(STAGES) + 1,
        "newest": VERSIONS - len(STAGES),
        "versions": VERSIONS,
        "backwards": 0,
        "stray_objects": 0,
        "stray_keys": 0,
        "key_changes": VERSIONS - len(STAGES) + (SERVICES * len(STAGES) + 5) * (KEYS - 1),
    }


SUMS = """
WITH w AS (SELECT id FROM workspaces WHERE slug = 'bench')
SELECT
    (SELECT revision FROM workspace_heads, w WHERE workspace_id = w.id) AS head,
    (SELECT count(*) FROM revisions, w WHERE workspace_id = w.id) AS revisions,
    (SELECT max(n) FROM revisions, w WHERE workspace_id = w.id) AS newest,
    (SELECT count(*) FROM versions, w WHERE workspace_id = w.id) AS versions,
    (SELECT count(*) FROM (
        SELECT at < lag(at) OVER (ORDER BY n) AS back FROM revisions, w WHERE workspace_id = w.id
    ) AS steps WHERE back) AS backwards,
    (SELECT count(*) FROM objects AS o JOIN w ON w.id = o.workspace_id LEFT JOIN LATERAL (
        SELECT version, revision, checksum FROM versions WHERE object_id = o.id
        ORDER BY version DESC LIMIT 1
     ) AS v ON true
     WHERE (o.version, o.revision, o.checksum)
        IS DISTINCT FROM (v.version, v.revision, v.checksum)) AS stray_objects,
    (SELECT count(*) FROM keys AS k JOIN w ON w.id = k.workspace_id LEFT JOIN LATERAL (
        SELECT version, revision, value, value_type FROM key_versions WHERE key_id = k.id
        ORDER BY version DESC LIMIT 1
     ) AS v ON true
     WHERE (k.version, k.revision, k.value, k.value_type)
        IS DISTINCT FROM (v.version, v.revision, v.value, v.value_type)) AS stray_keys,
    (SELECT count(*) FROM key_versions, w WHERE workspace_id = w.id) AS key_changes
"""


def test_checksums_are_the_servers_own(seeded: Person):
    with db.transaction() as session:
        stored_values = session.execute(text("SELECT value, checksum FROM keys")).all()
        contents = session.execute(text("SELECT content, checksum FROM versions")).all()
    for content, checksum in (*stored_values, *contents):
        assert checksum == json.checksum(json.loads(content))


def test_the_effective_config_merges_the_levels(seeded: Person):
    wide, own = stored(seeded, "_global", None)["config"], stored(seeded)["config"]
    answer = seeded.get(f"/config/{SERVICE}", environment="staging", **WORKSPACE).json()
    assert answer["config"] == {**wide, **stored(seeded, "_global")["config"], **own}
    assert answer["document_version"] == stored(seeded)["version"]


def test_history_and_the_past_agree(seeded: Person):
    now = stored(seeded)
    params = {"environment": "staging", **WORKSPACE}
    versions = seeded.get(f"/config/{SERVICE}/history", **params).json()["versions"]
    numbers = [one["version"] for one in versions]
    assert numbers == list(range(now["version"], 0, -1))
    assert len(numbers) > 2
    before = stored(seeded, at=versions[0]["revision"] - 1)
    assert before["version"] == now["version"] - 1
    changed = {name for name in now["config"] if now["config"][name] != before["config"][name]}
    assert len(changed) == 1
    key = next(
        one for one in keys(seeded, app_id=SERVICE, environment="staging") if one["key"] in changed
    )
    assert key["revision"] == versions[0]["revision"]
    history = seeded.get(f"/api/v1/config/{key['id']}/history", **WORKSPACE).json()["history"]
    assert len(history) == key["version"]
    assert history[0]["new_value"] == key["value"]
    assert history[0]["old_value"] == before["config"][key["key"]]
    first = versions[-1]["revision"]
    assert stored(seeded, at=first)["version"] == 1
    missing = seeded.get("/config/get", service=SERVICE, at=first - 1, **params)
    assert missing.status_code == 404


def test_a_key_is_written_as_usual(seeded: Person):
    before = stored(seeded)
    head = seeded.get("/api/v1/workspaces/bench").json()["revision"]
    key = keys(seeded, app_id=SERVICE, environment="staging")[0]
    answer = seeded.request(
        "PUT",
        f"/api/v1/configs/{key['id']}",
        params=WORKSPACE,
        json={"value": "new", "expected_version": key["version"]},
    )
    assert answer.status_code == 200, answer.text
    written = answer.json()
    assert (written["version"], written["revision"]) == (key["version"] + 1, head + 1)
    after = stored(seeded)
    assert after["config"] == {**before["config"], key["key"]: "new"}
    assert after["version"] == before["version"] + 1


def test_writing_a_seeded_document_again_makes_no_version(seeded: Person):
    before = stored(seeded)
    again = seeded.post(
        "/config/update",
        {
            "name": SERVICE,
            "environment": "staging",
            "config": dict(reversed(before["config"].items())),
        },
        params=WORKSPACE,
    )
    assert again.status_code == 200, again.text
    assert stored(seeded)["version"] == before["version"]
    head = seeded.get("/api/v1/workspaces/bench").json()["revision"]
    assert head == VERSIONS - len(STAGES)
    assert keys(seeded, app_id=SERVICE, environment="staging")[0]["updated_by"] == ACTOR


def test_a_workspace_that_exists_is_left_alone(seeded: Person, capsys):
    assert seed.main(WORDS) == 1
    assert "exists already" in capsys.readouterr().err
    assert seeded.get("/api/v1/workspaces/bench").json()["revision"] == VERSIONS - len(STAGES)


def test_the_command_says_what_is_too_little():
    command = [sys.executable, "-m", "bench.seed", *WORDS, "--versions", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "89 versions at least" in done.stderr
