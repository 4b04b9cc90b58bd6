"""A life of secrets: every feature that takes, keeps, moves, shows, shares or destroys them."""

import json
import uuid
from typing import Any

from cryptography.fernet import Fernet

from tests.canary.needles import Canary, Ear
from tests.client import PASSWORD, Person, login
from tests.rotators.receiver import Receiver

JSON_PATCH = {"Content-Type": "application/json-patch+json"}


class Life:
    """What one owner does with secrets in a workspace; `steps` does all of it."""

    def __init__(self, owner: Person, canary: Canary, ear: Ear, fernet: Fernet) -> None:
        self.owner = owner
        self.canary = canary
        self.ear = ear
        self.fernet = fernet
        self.made: dict[str, str] = {}
        """Secrets that the server made itself."""
        self.surprises: list[str] = []
        """Refusals that were others than they should be."""

    def steps(self, hooks: Receiver) -> None:
        """Do everything."""
        self.documents()
        self.changes_of_documents()
        self.history()
        self.keys()
        self.parked_keys()
        self.names()
        self.sets_of_changes()
        self.wrapping()
        self.destroying()
        self.rotators(hooks)
        self.repeating()
        self.restoring()
        self.mistakes()
        self.passwords()

    def do(
        self, method: str, path: str, body: Any = None, *, wanted: int = 200, **more: Any
    ) -> Any:
        """Send a call that must be answered with this status; return its JSON."""
        if body is not None:
            more["json"] = body
        self.ear.about = "in life"
        answer = self.owner.request(method, path, **more)
        if answer.status_code != wanted:
            said = f"{method} {path} {body}: not {wanted}: {answer.text}"
            assert answer.is_error, said
            assert wanted >= 400, said
            self.surprises.append(said)
        return answer.json() if answer.content else None

    def written(self, label: str) -> dict[str, str]:
        """Return a secret as people write it."""
        return self.canary.written(label)

    def update(self, name: str, config: dict[str, Any], **more: Any) -> Any:
        """Store a document."""
        return self.do("POST", "/config/update", {"name": name, "config": config, **more})

    def show(self, path: str, *labels: str, wanted: bool = True, **params: Any) -> Any:
        """Read what may show these secrets, and does."""
        with self.ear.entitled():
            answer = self.do("GET", path, params=params)
        text = json.dumps(answer)
        for label in labels:
            assert (json.dumps(self.canary.secret(label)) in text) is wanted, (path, label, text)
        return answer

    def documents(self) -> None:
        """Write documents of all levels, and a token of an older system."""
        token = self.fernet.encrypt(self.canary.secret("fernet").encode()).decode()
        config = {
            "db": {"password": self.written("nested"), "host": "db1"},
            "list": [1, self.written("element"), [{"deep": self.written("deep")}]],
            "legacy": {"$fernet": token},
            "n": 1,
        }
        self.update("shop", config, message="first")
        self.update("_global", {"everywhere": self.written("global")})
        for environment in ("staging", "production"):
            self.update("shop", {"here": self.written(environment)}, environment=environment)
        labels = ("nested", "element", "deep", "fernet", "global", "staging")
        self.show("/config/shop", *labels, environment="staging")
        self.show("/config/get", "nested", service="shop", reveal=True)
        self.show("/config/shop", "nested", stored=True, reveal=True)
        self.show("/config/shop", "nested", at=self.head())
        self.do("GET", "/config/get", params={"service": "shop"})
        self.do("GET", "/config/shop", params={"stored": True})
        self.do("GET", "/config/list")

    def head(self) -> int:
        """Return the newest revision."""
        answer = self.owner.get("/config/get", service="shop")
        return int(answer.headers["x-configsync-revision"].rpartition("-")[2])

    def changes_of_documents(self) -> None:
        """Patch and merge, with and without conflicts."""
        path = "/config/shop"
        self.do("PATCH", path, {"patched": self.written("merge patch")})
        operations = [
            {"op": "add", "path": "/added", "value": self.written("json patch")},
            {"op": "move", "from": "/list/1", "path": "/moved"},
            {"op": "copy", "from": "/added", "path": "/copied"},
            {"op": "replace", "path": "/n", "value": 2},
        ]
        more = {"headers": JSON_PATCH}
        self.do("PATCH", path, content=json.dumps(operations), **more)
        for value in (self.canary.secret("tested"), self.written("tested")):
            test = [{"op": "test", "path": "/added", "value": value}]
            self.do("PATCH", path, content=json.dumps(test), wanted=409, **more)
        self.show(path, "merge patch", "json patch", "element")
        base = self.do("GET", "/config/get", params={"service": "shop"})
        mine = {"base_version": base["version"], "config": dict(base["config"])}
        self.update("shop", {**base["config"], "db": self.written("theirs"), "n": 3})
        mine["config"]["merged"] = self.written("merged")
        self.do("POST", f"{path}/merge", mine)
        mine["config"]["db"] = self.written("mine")
        conflict = self.do("POST", f"{path}/merge", mine, wanted=409)
        assert conflict["conflicts"]
        self.show(path, "theirs", "merged")

    def history(self) -> None:
        """Look at versions, compare them, go back, delete and bring back."""
        versions = self.do("GET", "/config/versions", params={"service": "shop"})["versions"]
        self.do("GET", "/config/shop/history")
        ids = {"version1_id": versions[-1]["id"], "version2_id": versions[0]["id"]}
        self.do("GET", "/config/diff", params={"service": "shop", **ids})
        for effective in (False, True):
            sides = {"from": "shop@staging", "to": "shop@production", "effective": effective}
            self.do("GET", "/api/v1/diff", params=sides)
        self.do("GET", "/api/v1/diff", params={"from": "shop#1", "to": "shop"})
        with self.ear.entitled():
            explained = {"explain": True, "environment": "staging"}
            self.do("GET", "/config/shop", params=explained)
        self.do("POST", "/config/shop/rollback", {"version": 1})
        self.do(
            "POST", "/config/rollback", params={"service": "shop", "version_id": versions[0]["id"]}
        )
        self.do("DELETE", "/config/delete", params={"service": "shop", "environment": "staging"})
        self.do("POST", "/config/restore", params={"service": "shop", "environment": "staging"})
        self.show("/config/shop", "staging", "merged", environment="staging")

    def keys(self) -> None:
        """Keep secrets as whole values of keys, of every type."""
        values = {
            "text": self.canary.secret("key text"),
            "number": self.canary.number,
            "object": {"user": "a", "password": self.canary.secret("key object")},
            "array": [self.canary.secret("key array")],
        }
        for name, value in values.items():
            body = {"key": name, "value": value, "app_id": "keyed", "is_encrypted": True}
            key = self.do("POST", "/api/v1/configs", body, wanted=201)
            self.do("GET", f"/api/v1/configs/{key['id']}")
            with self.ear.entitled():
                shown = self.do("GET", f"/api/v1/configs/{key['id']}", params={"reveal": True})
            assert shown["value"]["$secret"] == value, shown
        path, other = f"/api/v1/configs/{key['id']}", f"/api/v1/config/{key['id']}"
        self.do("PUT", path, {"value": self.canary.secret("kept a secret")})
        self.do("PUT", path, {"value": self.canary.secret("typed"), "value_type": "string"})
        self.do("PUT", path, {"description": "text"})
        self.do("PUT", other, {"value": self.canary.secret("other family")})
        self.do("GET", f"/api/v1/versions/config/{key['id']}")
        self.do("GET", f"{other}/history")
        back = {"target_version": 2, "rollback_reason": "why not"}
        self.do("POST", f"/api/v1/versions/rollback/{key['id']}", back)
        self.do("DELETE", path, wanted=204)
        self.do("POST", f"/api/v1/versions/rollback/{key['id']}", back)
        body = {"key": "item", "service_name": "keyed", "is_encrypted": True}
        body["value"] = self.canary.secret("item")
        self.do("POST", "/api/v1/config", body, wanted=201)
        for query in ({}, {"q": "item"}, {"prefix": "i"}):
            self.do("GET", "/api/v1/configs", params=query)
        self.do("GET", "/api/v1/config", params={"service_name": "keyed"})
        self.show("/api/v1/config", "item", service_name="keyed", key="item")
        self.show("/api/v1/config/item", "item", service_name="keyed")
        with self.ear.entitled():
            for names in (None, ["item", "text"]):
                fetch = {"app_id": "keyed", "keys": names}
                self.do("POST", "/api/v1/configs/fetch", fetch)

    def parked_keys(self) -> None:
        """Park a secret, change it there, and make it active again."""
        body = {"key": "parked", "app_id": "keyed", "is_encrypted": True}
        body["value"] = self.canary.secret("before it is parked")
        path = f"/api/v1/configs/{self.do('POST', '/api/v1/configs', body, wanted=201)['id']}"
        self.do("PUT", path, {"is_active": False})
        self.do("PUT", path, {"value": self.canary.secret("parked")})
        self.do("GET", path)
        self.do("GET", "/api/v1/configs", params={"app_id": "keyed", "is_active": False})
        self.show(path, "parked", reveal=True)
        self.show("/config/keyed", "parked", wanted=False)
        self.do("PUT", path, {"is_active": True})
        self.show("/config/keyed", "parked")

    def names(self) -> None:
        """Keep a secret in a versioned name."""
        body = {"name": "named", "data": {"token": self.written("named")}}
        self.do("POST", "/configs", body, wanted=201)
        self.do("PUT", "/configs/named", {"data": {"token": self.written("named anew")}})
        self.do("GET", "/configs/named")
        self.do("GET", "/configs/named", params={"version": 1})
        self.show("/configs/named", "named", version=1, reveal=True)

    def sets_of_changes(self) -> None:
        """Change secrets of several services at once."""
        one = {"service": "keyed", "key": "text", "op": "set"}
        other = {"service": "shop", "environment": "staging", "key": "set", "op": "set"}
        changes = [
            {**one, "value": self.canary.secret("set"), "is_encrypted": True},
            {**other, "value": self.written("set elsewhere")},
        ]
        self.do("POST", "/api/v1/changes", {"changes": changes})
        changes[1]["expected_version"] = 9
        self.do("POST", "/api/v1/changes", {"changes": changes}, wanted=412)
        self.show("/config/shop", "set elsewhere", environment="staging")

    def wrapping(self) -> None:
        """Share a value once; the second attempt is an alarm."""
        body = {"value": {"password": self.canary.secret("wrapped")}}
        token = self.do("POST", "/api/v1/secrets/wrap", body, wanted=201)["token"]
        left = self.do("POST", "/api/v1/secrets/wrap", body, wanted=201)  # nobody opens it
        self.made |= {"token that was used": token, "token": left["token"]}
        with self.ear.entitled():
            opened = self.do("POST", "/api/v1/secrets/unwrap", {"token": token})
        assert opened["value"] == body["value"]
        self.do("POST", "/api/v1/secrets/unwrap", {"token": token}, wanted=410)
        other = {"token": f"csw_{self.canary.core}"}
        self.do("POST", "/api/v1/secrets/unwrap", other, wanted=404)

    def destroying(self) -> None:
        """Destroy a value; nothing brings it back."""
        written = self.update("doomed", {"a": self.written("destroyed"), "b": 1})
        marker = written["config"]["a"]
        path = f"/api/v1/secrets/{marker['handle']}/destroy"
        self.do("POST", path, {"name": "a"}, wanted=409)
        self.update("doomed", {"b": 1})
        self.do("POST", path, {"name": self.canary.secret("destroyed")}, wanted=422)
        self.do("POST", path, {"name": "a"})
        self.do("POST", path, {"name": "a"})
        self.do("GET", "/config/doomed/history")
        self.do("POST", "/config/doomed/rollback", {"version": 1}, wanted=409)
        self.show("/config/doomed", "destroyed", wanted=False, at=self.head())

    def rotators(self, hooks: Receiver) -> None:
        """Renew values: at random, by a receiver that fails and one that works, as users."""
        body = {"key": "renewed", "app_id": "keyed", "is_encrypted": True}
        body["value"] = self.canary.secret("renewed")
        key = self.do("POST", "/api/v1/configs", body, wanted=201)["id"]
        path, now = f"/api/v1/config/{key}/rotator", f"/api/v1/config/{key}/rotate"
        self.do("PUT", path, {"type": "random", "grace_seconds": 0})
        self.do("POST", now)
        self.made["random value"] = self.show("/config/keyed")["config"]["renewed"]
        webhook = {"type": "webhook", "grace_seconds": 0, "settings": hooks.settings()}
        elsewhere = {**hooks.settings(), "url": "http://10.1.2.3/hook"}
        self.do("PUT", path, {**webhook, "settings": elsewhere}, wanted=422)
        self.do("PUT", path, webhook)
        self.do("GET", path)
        hooks.will_answer("create", {"value": self.canary.secret("from a receiver")})
        hooks.statuses["set"] = 500
        hooks.will_answer("set", {"error": self.canary.secret("said by a receiver")})
        self.do("POST", now, wanted=502)
        assert self.do("GET", path)["last_error"]
        hooks.statuses.clear()
        done = self.do("POST", now)
        assert (done["step"], done["last_error"]) == (None, None), done
        self.show("/config/keyed", "from a receiver")
        user = json.dumps(self.canary.secret("password of a user")).strip('"')
        url = f"postgresql://admin:{self.canary.core}@127.0.0.1:1/app"
        settings = {"url": url, "parent": "app", "users": ["app_a", "app_b"]}
        postgres = {"type": "postgres", "settings": settings}
        self.do("PUT", path, postgres)
        self.do("POST", now, wanted=502)
        for wrong in (user, f"{url}?host={self.canary.core}", url.replace("127.0.0.1", "10.1.2.3")):
            settings = {**postgres["settings"], "url": wrong}
            body = {**postgres, "settings": settings}
            self.do("PUT", f"/api/v1/config/{self.plain_key()}/rotator", body, wanted=422)

    def plain_key(self) -> int:
        """Return a key that is no secret."""
        body = {"key": uuid.uuid4().hex, "app_id": "keyed", "value": 1}
        return int(self.do("POST", "/api/v1/configs", body, wanted=201)["id"])

    def repeating(self) -> None:
        """Send calls twice under one Idempotency-Key, and once with another body."""
        more = {"headers": {"Idempotency-Key": uuid.uuid4().hex}}
        body = {"name": "again", "config": {"a": self.written("repeated")}}
        for wanted in (200, 200):
            self.do("POST", "/config/update", body, wanted=wanted, **more)
        body["config"] = {"a": self.written("repeated otherwise")}
        self.do("POST", "/config/update", body, wanted=422, **more)
        wrap = {"value": self.canary.secret("wrapped twice")}
        for _ in range(2):
            self.do("POST", "/api/v1/secrets/wrap", wrap, wanted=201, **more)

    def restoring(self) -> None:
        """Put the whole workspace back, and forth again."""
        head = self.head()
        slug = self.owner.username
        for body in ({"at": head - 20, "dry_run": True}, {"at": head - 20}, {"at": head}):
            answer = self.owner.post(f"/api/v1/workspaces/{slug}/restore", body)
            assert answer.status_code in {200, 409}, answer.text
        self.do("GET", "/api/v1/audit", params={"page_size": 100})

    def mistakes(self) -> None:
        """Get everything wrong that can be wrong about a secret."""
        text = self.canary.secret("in a mistake")
        bullets = "••••••••"
        self.update("shop", {"a": self.written("right")})
        for value in (
            {"$secret": text, "more": text},
            {"$secret": [text]},
            {"$secret": {"a": text}},
            {"$secret": text, "handle": text},
            {"$secret": bullets, "handle": text, "fingerprint": text},
            {"$secret": text, "handle": "sec_000000000000000000000000"},
            {"$secret": text, "handle": None},
            {"$fernet": text},
            {"$fernet": text, "handle": text},
            {"$secret": self.canary.number},
        ):
            self.do("POST", "/config/update", {"name": "shop", "config": {"a": value}}, wanted=422)
        self.do("PATCH", "/config/shop", {"a": {"$secret": text, "x": 1}}, wanted=422)
        good = {"name": "shop", "config": {"a": self.written("right but late")}}
        stale = {"headers": {"If-Match": '"1-1"'}}
        self.do("POST", "/config/update", good, wanted=412, **stale)
        self.do("POST", "/config/update", {**good, "expected_version": 1}, wanted=412)
        key = {"key": "text", "value": text, "app_id": "keyed", "is_encrypted": True}
        self.do("POST", "/api/v1/configs", key, wanted=409)
        for kind in ("number", "boolean"):
            wrong = {**key, "key": "mistyped", "value_type": kind}
            self.do("POST", "/api/v1/configs", wanted=422, json=wrong)
        large = {"name": "shop", "config": {"a": {"$secret": text * 30_000}}}
        self.do("POST", "/config/update", large, wanted=413)
        many = {"name": "shop", "config": {f"k{n}": self.written("many") for n in range(10_001)}}
        assert self.owner.post("/config/update", many).status_code in {413, 422}

    def passwords(self) -> None:
        """Use secrets as passwords, rightly and wrongly."""
        client, secret = self.owner.client, self.canary.secret("password")
        person = {"username": "newcomer", "email": "n@example.com", "password": secret}
        assert client.post("/auth/register", json=person).status_code == 201
        assert client.post("/auth/register", json=person).status_code == 409
        wrong = {**person, "username": "-" * 65}
        assert client.post("/auth/register", json=wrong).status_code == 422
        newcomer = login(client, "newcomer", secret)
        body = {"old": self.canary.secret("not the password"), "new": secret}
        assert newcomer.post("/auth/password", body).status_code in {400, 401, 403, 422}
        body = {"old": secret, "new": self.canary.secret("next password")}
        assert newcomer.post("/auth/password", body).is_success
        for password in (secret, self.canary.secret("next password") * 20):
            form = {"username": "newcomer", "password": password}
            assert client.post("/auth/login", data=form).status_code in {401, 422}
            assert client.post("/login", json=form).status_code in {401, 422}
        for header in (f"Bearer {secret}", f"Basic {secret}", secret):
            headers = {"Authorization": header.encode()}
            assert client.get("/config/list", headers=headers).status_code == 401
        assert client.get("/config/list", auth=("admin", secret)).status_code == 401
        headers = {"X-API-Key": secret.encode()}
        assert client.get("/config/list", headers=headers).status_code == 401
        assert login(client, self.owner.username, PASSWORD)
