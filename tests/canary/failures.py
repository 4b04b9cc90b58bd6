"""A server that cannot: tables that refuse rows or are gone, secrets that somebody changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.canary.needles import Canary, Ear
from tests.client import Person
from tests.processes import rows

TABLES = (
    *("configs", "keys", "versions", "key_versions", "revisions", "objects", "services"),
    *("secrets", "data_keys", "rotators", "wrapped_secrets"),
    *("events", "event_pending", "idempotency_keys"),
)


class Failures:
    """Calls that carry secrets, while the database is broken in one way after the other."""

    def __init__(self, owner: Person, canary: Canary, ear: Ear, dsn: str) -> None:
        self.owner = owner
        self.canary = canary
        self.ear = ear
        self.dsn = dsn
        self.statuses: dict[str, list[int]] = {}
        self._numbers = iter(range(10**6))
        self.key_id = self._prepare()

    def _prepare(self) -> int:
        config = {"a": self.canary.written("before failures"), "b": self.canary.written("other")}
        assert self.owner.update("failing", config).is_success
        listed = self.owner.get("/api/v1/configs", app_id="failing", prefix="a").json()
        return int(listed["configs"][0]["id"])

    def steps(self) -> None:
        """Break everything, a thing at a time."""
        for table in TABLES:
            with self.refusing(table):
                self.calls(f"while {table} refuses rows")
            with self.without(table):
                self.calls(f"without {table}")
        with self.swapped():
            self.reads("while ciphertexts are swapped")
        with self.truncated():
            self.reads("while ciphertexts are cut off")

    def sealed(self, client: httpx.Client) -> None:
        """Ask a server whose key-encryption key is another one."""
        asked, self.owner = self.owner, Person(client, self.owner.token, self.owner.id, "")
        self.calls("sealed")
        self.owner = asked

    def calls(self, about: str) -> None:
        """Write, read, share and renew secrets, whatever comes of it."""
        text = self.canary.secret(f"{about} {next(self._numbers)}")
        document = {"name": "failing", "config": {"a": {"$secret": text}, "b": 2}}
        self._send(about, "POST", "/config/update", document)
        self._send(about, "POST", "/config/update", {**document, "name": f"new-{self.key_id}"})
        key = {"value": text, "is_encrypted": True}
        self._send(about, "PUT", f"/api/v1/configs/{self.key_id}", key)
        self._send(about, "PATCH", "/config/failing", {"c": {"$secret": text}})
        self._send(about, "POST", "/api/v1/secrets/wrap", {"value": text})
        path = f"/api/v1/config/{self.key_id}"
        url = f"postgresql://admin:{self.canary.core}@127.0.0.1:1/app"
        settings = {"url": url, "parent": "app", "users": ["app_a", "app_b"]}
        rotator = {"type": "postgres", "settings": settings}
        self._send(about, "PUT", f"{path}/rotator", rotator)
        self._send(about, "POST", f"{path}/rotate")
        self.reads(about)

    def reads(self, about: str) -> None:
        """Read secrets in every way."""
        with self.ear.entitled():
            self._send(about, "GET", "/config/failing")
            self._send(about, "GET", "/config/get?service=failing&reveal=true")
            self._send(about, "GET", f"/api/v1/configs/{self.key_id}?reveal=true")
            self._send(about, "POST", "/api/v1/configs/fetch", {"app_id": "failing"})

    def _send(self, about: str, method: str, path: str, body: Any = None) -> None:
        self.ear.about = about
        headers = {"Idempotency-Key": str(next(self._numbers))} if method == "POST" else {}
        answer = self.owner.request(method, path, json=body, headers=headers)
        self.statuses.setdefault(about, []).append(answer.status_code)

    @contextmanager
    def refusing(self, table: str) -> Iterator[None]:
        """Let a table refuse all new rows: PostgreSQL then shows the row in its message."""
        rows(self.dsn, f"ALTER TABLE {table} ADD CONSTRAINT no CHECK (false) NOT VALID")
        try:
            yield
        finally:
            rows(self.dsn, f"ALTER TABLE {table} DROP CONSTRAINT no")

    @contextmanager
    def without(self, table: str) -> Iterator[None]:
        """Take a table away."""
        rows(self.dsn, f"ALTER TABLE {table} RENAME TO {table}_gone")
        try:
            yield
        finally:
            rows(self.dsn, f"ALTER TABLE {table}_gone RENAME TO {table}")

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Give every ciphertext to another secret."""
        swap = (
            "WITH turned AS (SELECT handle, coalesce(lead(ciphertext) OVER (ORDER BY handle), "
            "(SELECT ciphertext FROM secrets WHERE ciphertext IS NOT NULL ORDER BY handle LIMIT 1))"
            " AS other FROM secrets WHERE ciphertext IS NOT NULL) "
            "UPDATE secrets AS s SET ciphertext = turned.other FROM turned "
            "WHERE turned.handle = s.handle"
        )
        with self._kept():
            rows(self.dsn, swap)
            yield

    @contextmanager
    def truncated(self) -> Iterator[None]:
        """Cut every ciphertext off."""
        with self._kept():
            rows(self.dsn, "UPDATE secrets SET ciphertext = substr(ciphertext, 1, 20)")
            yield

    @contextmanager
    def _kept(self) -> Iterator[None]:
        rows(self.dsn, "CREATE TABLE kept AS SELECT handle, ciphertext FROM secrets")
        try:
            yield
        finally:
            rows(
                self.dsn,
                "UPDATE secrets AS s SET ciphertext = kept.ciphertext FROM kept "
                "WHERE kept.handle = s.handle",
            )
            rows(self.dsn, "DROP TABLE kept")
