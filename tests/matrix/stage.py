"""The stage of the matrix: who calls, what they call about, and what the table says they get."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
from sqlalchemy import text, update

from app.auth import crud, tokens
from app.core import db
from app.models import ApiKey, Base
from tests.client import PASSWORD, Person, create_key, first_admin, register
from tests.matrix.routes import (
    ADMIN,
    ALL_SERVICES,
    ARRIVAL,
    AUDIT,
    CHANGE,
    EVERYTHING,
    FLAG,
    FLAGS,
    GLOBAL_ADMIN,
    LEVEL,
    LINES,
    LOGIN,
    MEMBERS,
    OPEN,
    OWNER,
    ROTATOR,
    SERVICE,
    STORED,
    Line,
)

SLUG = "acme"
STAGING, PRODUCTION = "staging", "production"  # the latter is protected
PLACES = (None, STAGING, PRODUCTION)  # None: the level of all environments
ANYWHERE = frozenset(PLACES)
NOWHERE: frozenset[str | None] = frozenset()
ACTIONS = ("admin", "metrics", "publish", "read", "read_secrets", "write")
ALL = frozenset(ACTIONS)
UNKNOWN_ID = 987_654_321
UNKNOWN_HANDLE = "sec_987654321098765432109876"

Place = str | None
Names = dict[str, Any]
Refusal = tuple[int, str]


@dataclass(frozen=True)
class Caller:
    """Somebody who calls every route."""

    name: str
    rights: frozenset[str] = frozenset()
    refusal: Refusal | None = None
    """What they get wherever credentials count."""
    places: frozenset[str | None] = ANYWHERE
    """Which environments of the service an API key reaches."""
    is_key: bool = False
    is_owner: bool = False
    is_root: bool = False
    is_foreign: bool = False
    """Belongs to another workspace than the one that is called about."""
    scopes: dict[str, list[str]] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return self.name


def key(name: str, *rights: str, **more: Any) -> Caller:
    """Return a caller with an API key."""
    return Caller(name, frozenset(rights), is_key=True, **more)


PEOPLE = (
    Caller("viewer", frozenset({"read"})),
    Caller("editor", CHANGE | {"read_secrets"}),
    Caller("admin", ALL),
    Caller("owner", ALL, is_owner=True),
    Caller("root", ALL, is_root=True),
)
STRANGERS = (
    Caller("stranger", ALL, is_owner=True, is_foreign=True),
    Caller("former", ALL, is_owner=True, is_foreign=True),
    key("key-of-another-workspace", *ALL, is_foreign=True),
)
KEYS = (
    *(key(f"key-to-{action.replace('_', '-')}", action) for action in ACTIONS),
    key("key-to-write-and-publish", "write", "publish"),
    key("key-to-all-but-secrets", *(ALL - {"read_secrets"})),
    key("key-to-all", *ALL),
    key("key-of-another-service", *ALL, places=NOWHERE, scopes={"services": ["web*"]}),
    key("key-of-another-environment", *ALL, places=NOWHERE, scopes={"environments": ["qa*"]}),
    key(
        "key-of-service-in-staging",
        *ALL,
        places=frozenset({STAGING}),
        scopes={"services": ["bill*"], "environments": [STAGING]},
    ),
)
REFUSED = (
    Caller("nobody", refusal=(401, "login_required")),
    Caller("disabled", refusal=(401, "invalid_token")),
    key("key-expired", *ALL, refusal=(401, "api_key_expired")),
    key("key-revoked", *ALL, refusal=(401, "invalid_api_key")),
    key(
        "key-for-another-address",
        *ALL,
        refusal=(403, "address_not_allowed"),
        scopes={"addresses": ["10.0.0.0/8"]},
    ),
)
CALLERS = (*PEOPLE, *STRANGERS, *KEYS, *REFUSED)


# What the table says


def verdict(line: Line, caller: Caller, place: Place, *, named: bool) -> Refusal | None:
    """Return the refusal that a caller gets, or None; `named`: the call names the workspace."""
    if line.needs == OPEN:
        return None
    if isinstance(line.needs, str) and line.needs in {ARRIVAL, LOGIN, GLOBAL_ADMIN}:
        return _of_people(line, caller)
    if caller.refusal:
        return caller.refusal
    if caller.is_foreign and named:
        return 404, "workspace_not_found"
    if line.needs == AUDIT:
        return _of_audit(line, caller)
    return _of_rights(line, caller) or _of_place(line, caller, place)


def _of_people(line: Line, caller: Caller) -> Refusal | None:
    if caller.is_key:
        return 403, "users_only"
    if caller.refusal and not (line.needs == ARRIVAL and caller.name == "nobody"):
        return caller.refusal
    return (403, "admins_only") if line.needs == GLOBAL_ADMIN and not caller.is_root else None


def _of_audit(line: Line, caller: Caller) -> Refusal | None:
    if caller.is_key and "admin" not in caller.rights:
        return 403, "not_allowed"
    if caller.places != ANYWHERE:
        return 403, "outside_scope"
    seen = "admin" in caller.rights and not caller.is_foreign
    return (404, "log_not_found") if line.names_ids and not seen else None


def _of_rights(line: Line, caller: Caller) -> Refusal | None:
    if line.needs == OWNER:
        if "admin" not in caller.rights:
            return 403, "not_allowed"
        return None if caller.is_owner or caller.is_root else (403, "owners_only")
    assert isinstance(line.needs, frozenset)
    if line.needs == MEMBERS and "admin" in caller.rights and not caller.rights >= MEMBERS:
        return 403, "outside_scope"
    return None if line.needs <= caller.rights else (403, "not_allowed")


def _of_place(line: Line, caller: Caller, place: Place) -> Refusal | None:
    reached = {
        LEVEL: place in caller.places,
        SERVICE: None in caller.places,
        ALL_SERVICES: caller.places == ANYWHERE,
        EVERYTHING: caller.places == ANYWHERE,
    }
    if line.touches == FLAG:
        return _of_flag(line, caller, place)
    if not reached.get(line.touches, True):
        return (404, "key_not_found") if line.by_id else (403, "outside_scope")
    if line.to_publish and place == PRODUCTION and "publish" not in caller.rights:
        return 403, "protected_environment"
    return None


def _of_flag(line: Line, caller: Caller, place: Place) -> Refusal | None:
    """Flags reach every service: any key of the environment reads them, and few write them."""
    environments = caller.scopes.get("environments", ["*"])
    if environments != ["*"] and place not in environments:
        return (404, "flag_not_found") if line.by_id else (403, "outside_scope")
    assert isinstance(line.needs, frozenset)
    if "write" in line.needs and "services" in caller.scopes:
        return 403, "outside_scope"
    if line.to_publish and place == PRODUCTION and "publish" not in caller.rights:
        return 403, "protected_environment"
    return None


def may_see(line: Line, caller: Caller, place: Place) -> bool:
    """Say whether values may be in an answer."""
    if caller.refusal or caller.is_foreign or "read" not in caller.rights:
        return False
    return bool(caller.places) and (line.touches != LEVEL or place in caller.places)


# What is there


class Stage:
    """A workspace with a service in three places, its people and keys, and a neighbour."""

    def __init__(self, client: Any) -> None:
        self.client = client  # a TestClient, or any other of httpx
        self._numbers = count(1)
        self.tokens: dict[str, str] = {"nobody": ""}
        self.people: dict[str, Person] = {"root": first_admin(client)}
        for name in ("owner", "admin", "editor", "viewer", "stranger", "former", "disabled"):
            self.people[name] = register(client, name)
        for name in ("resident", "leaver"):
            register(client, name)
        self.owner, self.stranger = self.people["owner"], self.people["stranger"]
        self._open_workspace()
        self.shared: dict[tuple[str, Place], Names] = {}
        for line in LINES:
            for place in places(line):
                if (line.uses, place) not in self.shared:
                    self.shared[line.uses, place] = self.make(line.uses, place, first=True)
        self._let_in()

    def fresh(self) -> str:
        """Return a name that nobody has used."""
        return f"f{next(self._numbers)}"

    def call(self, method: str, path: str, body: Any = None, *, slug: str | None = SLUG) -> Any:
        """Do something as the owner; return the answer's JSON."""
        params = {"workspace": slug} if slug else None
        answer = self.owner.request(method, path, json=body, params=params)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def _open_workspace(self) -> None:
        self.call("POST", "/api/v1/workspaces", {"slug": SLUG}, slug=None)
        roles = {"admin": "admin", "editor": "editor", "viewer": "viewer"}
        for name, role in (*roles.items(), ("former", "admin"), ("disabled", "admin")):
            self.set_role(name, role)
        self.call("DELETE", f"/api/v1/workspaces/{SLUG}/members/former", slug=None)
        self.call("PATCH", f"/environments/{PRODUCTION}", {"protected": True})
        for person in (self.stranger, self.people["former"]):  # as if it were the same
            for place in PLACES:
                answer = person.update("billing", {"n": 1}, environment=place)
                assert answer.status_code == 200, answer.text

    def _let_in(self) -> None:
        root = self.people["root"]
        path = f"/auth/users/{self.people['disabled'].id}"
        assert root.request("PATCH", path, json={"disabled": True}).status_code == 200
        self.tokens |= {name: person.token for name, person in self.people.items()}
        for caller in CALLERS:
            if not caller.is_key:
                continue
            maker = self.stranger if caller.is_foreign else self.owner
            slug = None if caller.is_foreign else SLUG
            scopes = {"actions": sorted(caller.rights), **caller.scopes}
            made = create_key(maker, workspace=slug, name=caller.name, scopes=scopes)
            self.tokens[caller.name] = made["key"]
            ended = {"key-expired": "expires_at", "key-revoked": "revoked_at"}.get(caller.name)
            if ended:
                with db.transaction() as session:
                    session.execute(
                        update(ApiKey)
                        .where(ApiKey.id == made["id"])
                        .values({ended: text("now() - interval '1 second'")})
                    )

    def set_role(self, user: str, role: str) -> None:
        """Make somebody a member."""
        path = f"/api/v1/workspaces/{SLUG}/members/{user}"
        self.call("PUT", path, {"role": role}, slug=None)

    def make(self, kind: str, place: Place, *, first: bool = False) -> Names:
        """Prepare an object of a kind; return the names of all that a call may be about."""
        names: Names = {
            "slug": SLUG,
            "environment": place,
            "username": "resident",
            "password": PASSWORD,
            "user_id": self.stranger.id,
            "role": "viewer",
        }
        made = {
            "document": lambda: self._document(place, first=first),
            "deleted": lambda: self._deleted(place),
            "old_secret": lambda: self._old_secret(place),
            "rotated": lambda: self._rotated(place),
            "wrapped": self._wrapped,
            "service": lambda: self._document(None, first=False),
            "environment": self._environment,
            "flag": lambda: self._flag(place),
            "segment": self._segment,
            "workspace": lambda: {} if first else self._workspace(),
            "member": lambda: self._member("resident" if first else "leaver"),
            "api_key": self._api_key,
            "login": dict[str, Any],
        }
        return names | made[kind]()

    def content(self, number: int) -> dict[str, Any]:
        """Return the first or the second version of a document."""
        return {"token": STORED, "n": f"{STORED} {number}"}

    def _document(self, place: Place, *, first: bool) -> Names:
        service = "billing" if first else f"billing-{self.fresh()}"
        level = {"environment": place} if place else {}
        for number in (1, 2) if first else (1,):
            body = {"name": service, "config": self.content(number), **level}
            document = self.call("POST", "/config/update", body)
        params = {"workspace": SLUG, "app_id": service, **level}
        keys = self.owner.get("/api/v1/configs", **params).json()["configs"]
        ids = {one["key"]: one["id"] for one in keys if one["environment"] == place}
        names = {
            "service": service,
            "service_name": service,
            "name": service,
            "reference": f"{service}@{place}" if place else service,
            "key_id": ids["n"],
            "config_id": ids["n"],
            "key": "n",
        }
        return names | (self._history_of(document, level) if first else {})

    def _history_of(self, document: dict[str, Any], level: dict[str, str]) -> Names:
        params = {"workspace": SLUG, "service": document["service"], **level}
        found = self.owner.get("/config/versions", **params).json()["versions"]
        old, new = (one["id"] for one in reversed(found))
        params = {"entity_type": "configuration", "entity_id": document["id"]}
        return {
            "version_id": old,
            "other_version_id": new,
            "event_id": self.owner.get("/api/v1/audit", **params).json()["logs"][0]["id"],
        }

    def _deleted(self, place: Place) -> Names:
        names = self._document(place, first=False)
        params = {"service": names["service"], "workspace": SLUG}
        params |= {"environment": place} if place else {}
        answer = self.owner.request("DELETE", "/config/delete", params=params)
        assert answer.status_code == 200, answer.text
        return names

    def _old_secret(self, place: Place) -> Names:
        names = self._document(place, first=False)
        body = {"name": names["service"], "environment": place}
        config = {"token": STORED, "n": {"$secret": STORED}}
        kept = self.call("POST", "/config/update", {**body, "config": config})
        self.call("POST", "/config/update", {**body, "config": {"token": STORED}})
        return names | {"handle": kept["config"]["n"]["handle"]}

    def _rotated(self, place: Place) -> Names:
        names = self._document(place, first=False)
        self.call("PUT", f"/api/v1/config/{names['config_id']}/rotator", ROTATOR)
        return names

    def _wrapped(self) -> Names:
        return {"token": self.call("POST", "/api/v1/secrets/wrap", {"value": "shared"})["token"]}

    def _environment(self) -> Names:
        name = self.fresh()
        self.call("POST", "/environments", {"name": name})
        return {"name": name}

    def _flag(self, place: Place) -> Names:
        body = {"name": self.fresh(), "environment": place, "is_enabled": True}
        made = self.call("POST", FLAGS, body)
        return {"name": made["name"], "key": made["name"], "flag_id": made["id"]}

    def _segment(self) -> Names:
        name = self.fresh()
        self.call("POST", "/api/v1/segments", {"name": name})
        return {"name": name}

    def _workspace(self) -> Names:
        slug = self.fresh()
        self.call("POST", "/api/v1/workspaces", {"slug": slug}, slug=None)
        return {"slug": slug}

    def _member(self, name: str) -> Names:
        self.set_role(name, "editor")
        return {"user": name}

    def _api_key(self) -> Names:
        scopes = {"actions": sorted(ADMIN)}
        return {"key_id": create_key(self.owner, workspace=SLUG, scopes=scopes)["id"]}

    def new_token(self, caller: Caller) -> str:
        """Log a person in once more."""
        person = self.people[caller.name]
        with db.transaction() as session:
            token, known = tokens.new_token(person.id)
            ends = text("now() + interval '1 hour'")
            crud.create_login(session, jti=known.jti, user_id=person.id, expires_at=ends)
        return token


def places(line: Line) -> tuple[Place, ...]:
    """Return where a line is called: at all levels if it has one."""
    if line.touches == FLAG:
        return PLACES[1:]
    return PLACES if line.touches == LEVEL else (None,)


def fill(template: Any, names: Names) -> Any:
    """Put names in the place of `{name}`; members without a value are left out."""
    if isinstance(template, str):
        whole = template[1:-1] if template.startswith("{") and template.endswith("}") else ""
        return names[whole] if whole in names else template.format_map(names)
    if isinstance(template, list):
        return [fill(one, names) for one in template]
    if isinstance(template, dict):
        filled = {name: fill(one, names) for name, one in template.items()}
        return {name: one for name, one in filled.items() if one is not None}
    return template


def send(
    client: Any,
    line: Line,
    names: Names,
    *,
    slug: str | None,
    token: str,
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    """Call a route."""
    query = fill(line.query, names) | ({"workspace": slug} if slug else {})
    headers = dict(headers or {})
    if token:
        headers["Authorization"] = f"Bearer {token}"
    content = None
    if line.body is not None:
        content = json.dumps(fill(line.body, names))
        headers["Content-Type"] = line.content_type
    data = None if line.form is None else fill(line.form, names)
    path, method = fill(line.path, names), line.method
    if method == "MOUNT":
        path, method = f"{path}/swagger-ui.css", "GET"
    answer: httpx.Response = client.request(
        method,
        path,
        params=query,
        headers=headers,
        content=content,
        data=data,
        follow_redirects=False,
    )
    return answer


def taking_workspace(document: dict[str, Any]) -> set[tuple[str, str]]:
    """Return method and path of an OpenAPI document's operations that know `workspace=`."""
    return {
        (method.upper(), plain(path))
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if "workspace" in {one["name"] for one in operation.get("parameters", ())}
    }


def plain(path: str) -> str:
    """Return a path template without converters."""
    return path.replace(":text}", "}").replace(":int}", "}").replace(":path}", "}")


# What was there

PASSING = {
    *("events", "event_pending", "read_counts", "login_throttles", "idempotency_keys"),
    *("stream_tickets", "flag_counts", "unknown_flags"),
}
GROWING = {"versions", "key_versions", "revisions"}


def _prints() -> Iterator[str]:
    for table in Base.metadata.sorted_tables:
        if table.name in PASSING | {"leases"}:
            continue
        row = "(to_jsonb(t) - 'last_used_at')::text"
        seen = f"md5(string_agg({row}, ';' ORDER BY {row}))"
        what = "count(*)::text" if table.name in GROWING else seen
        yield f"(SELECT {what} FROM {table.name} t) AS {table.name}"


PRINTS = text(f"SELECT {', '.join(_prints())}")


def snapshot() -> dict[str, str]:
    """Return a print of everything that a refused call must leave as it is, by table."""
    with db.transaction() as session:
        return dict(session.execute(PRINTS).mappings().one())
