"""Who changes configs while the library is tested."""

from typing import Any, Self

import httpx

KEY = "sdk-tests-admin-key-0123456789-abcdefghijkl"
ENVIRONMENT = "development"


class Desk:
    """A service in one environment, and its admin."""

    def __init__(self, url: str, service: str, key: str = KEY) -> None:
        self.url = url
        self.service = service
        self.http = httpx.Client(
            base_url=url, headers={"X-API-Key": key}, timeout=20, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    @property
    def options(self) -> dict[str, Any]:
        """Return the arguments of a client."""
        return {
            "base_url": self.url,
            "api_key": KEY,
            "app_id": self.service,
            "environment": ENVIRONMENT,
        }

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.http.post(path, json=body)
        assert answer.is_success, answer.text
        return dict(answer.json())

    def write(self, environment: str | None = ENVIRONMENT, **config: Any) -> int:
        """Store a document; return its revision."""
        return self.put(config, environment)

    def put(self, config: dict[str, Any], environment: str | None = ENVIRONMENT) -> int:
        """Store a document; return its revision."""
        body = {"name": self.service, "config": config}
        if environment is not None:
            body["environment"] = environment
        return int(self.post("/config/update", body)["revision"])

    def name(self, name: str) -> str:
        """Return a name for a flag or segment that no other test uses."""
        return f"{self.service}.{name}"

    def flag(self, name: str, environment: str = ENVIRONMENT, **members: Any) -> dict[str, Any]:
        """Create a flag."""
        body = {"name": name, "environment": environment, "is_enabled": True, **members}
        return self.post("/api/v1/feature-flags", body)

    def change(self, flag: dict[str, Any], **members: Any) -> int:
        """Change a flag; return its revision."""
        answer = self.http.put(f"/api/v1/feature-flags/{flag['id']}", json=members)
        assert answer.is_success, answer.text
        return int(answer.json()["revision"])

    def evaluate(self, name: str, **asking: Any) -> dict[str, Any]:
        """Return what the server says of a flag."""
        body = {"flag_name": name, "environment": ENVIRONMENT, **asking}
        return self.post("/api/v1/feature-flags/evaluate", body)

    def key(self, *actions: str, **more: Any) -> str:
        """Return a new API key with these rights."""
        scopes = {"actions": [*actions], **more}
        return str(self.post("/api/v1/api-keys", {"name": "a key", "scopes": scopes})["key"])

    def value(self, key: str) -> Any:
        """Return what the server says of one key; KeyError if it is not there."""
        answer = self.http.get(
            "/api/v1/config",
            params={"service_name": self.service, "environment": ENVIRONMENT, "key": key},
        )
        assert answer.status_code == 200, answer.text
        found = answer.json()["configurations"]
        if not found:
            raise KeyError(key)
        return found[0]["value"]

    def instances(self) -> list[dict[str, Any]]:
        """Return what instances reported."""
        answer = self.http.get("/api/v1/instances", params={"service": self.service})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["instances"])
