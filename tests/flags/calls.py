"""What the tests of flags say to the server."""

from typing import Any

from tests.client import Person

FLAGS, SEGMENTS = "/api/v1/feature-flags", "/api/v1/segments"
PRODUCTION = "production"


def make(person: Person, name: str = "checkout", **body: Any) -> dict[str, Any]:
    """Create a flag; return it."""
    answer = person.post(
        FLAGS, {"name": name, "environment": PRODUCTION, "is_enabled": True, **body}
    )
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def put(person: Person, flag: dict[str, Any], **body: Any) -> Any:
    """Change a flag."""
    return person.request("PUT", f"{FLAGS}/{flag['id']}", json=body)


def evaluate(person: Person, name: str = "checkout", **body: Any) -> dict[str, Any]:
    """Evaluate a flag; return what came out."""
    answer = person.post(
        f"{FLAGS}/evaluate", {"flag_name": name, "environment": PRODUCTION, **body}
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def revision(person: Person) -> int:
    """Return the newest revision."""
    return int(person.get("/environments").headers["x-configsync-revision"].rpartition("-")[2])
