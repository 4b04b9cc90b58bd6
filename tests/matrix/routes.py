"""What every route of the application needs: one line a (method, path template).

A route without a line fails the matrix, and so does a line without a route. `{name}` in a
query or a body stands for an object that `tests/matrix/stage.py` prepares.
"""

from dataclasses import dataclass, field
from typing import Any

STORED, WRITTEN = "canary-stored", "canary-written"
MARK = "canary"

# What a line may need beside rights:
OPEN = "open"  # anybody, whatever credentials come along
ARRIVAL = "arrival"  # nobody or people; whoever shows bad credentials is told
LOGIN = "login"  # a person
GLOBAL_ADMIN = "global admin"
OWNER = "owner"  # of the workspace, or a global admin
AUDIT = "audit"  # a person, or a key with `admin`; everybody sees their part

READ = frozenset({"read"})
WRITE = frozenset({"write"})
CHANGE = READ | WRITE  # writes that depend on what is there
ADMIN = frozenset({"admin"})
METRICS = frozenset({"metrics"})
MEMBERS = frozenset({"admin", "publish", "read", "read_secrets", "write"})  # all that roles give
RESTORE = CHANGE | ADMIN | {"publish"}

# What a line touches, for keys whose scopes name services or environments:
NOTHING = ""  # no level
MANY = "many"  # a list, which leaves out what the scopes do not reach
LEVEL = "level"  # a service in an environment or in all; writes to protected ones are to publish
FLAG = "flag"  # a flag in an environment, which reaches every service
SERVICE = "service"  # a service in all environments
ALL_SERVICES = "all services"  # an environment itself
EVERYTHING = "everything"  # only keys for everything


@dataclass(frozen=True)
class Line:
    """One route."""

    method: str
    path: str
    needs: str | frozenset[str]
    touches: str = NOTHING
    query: dict[str, Any] = field(default_factory=dict)
    body: Any = None
    form: dict[str, str] | None = None
    content_type: str = "application/json"
    uses: str = "document"
    """The kind of object that the call is about."""
    spends: bool = False
    """The call uses the object up: every caller who may gets one of its own."""
    shows: bool = False
    """Whoever may read gets values back."""
    publishes: bool = False
    """In protected environments it takes `publish` too, as writing documents does."""

    @property
    def name(self) -> str:
        """Return how failures call it."""
        return f"{self.method} {self.path}"

    @property
    def to_publish(self) -> bool:
        """Say whether it takes `publish` in a protected environment."""
        writes = isinstance(self.needs, frozenset) and "write" in self.needs
        return self.touches in {LEVEL, FLAG} and (writes or self.publishes)

    @property
    def by_id(self) -> bool:
        """Say whether the level is that of an object which only its id names."""
        return self.touches in {LEVEL, FLAG} and "_id}" in self.path

    @property
    def names_ids(self) -> bool:
        """Say whether an id stands anywhere in the call."""
        call = f"{self.path} {self.query} {self.body}"
        return "_id}" in call or "{handle}" in call


AT = {"service": "{service}", "environment": "{environment}"}
DOCUMENT = {"token": STORED, "n": WRITTEN}
ROTATOR = {"type": "random", "grace_seconds": 0}
USER = {"username": "{username}", "password": "{password}"}
NEWCOMER = {"username": "{fresh}", "email": "{fresh}@example.com", "password": "{password}"}
SET = {"service": "{service}", "environment": "{environment}", "key": "n", "op": "set"}
GRANT = {"name": "{fresh}", "scopes": {"actions": ["admin"]}}

FLAGS = "/api/v1/feature-flags"
IN_ENVIRONMENT = {"environment": "{environment}"}
ASKED = {"flag_name": "{name}", "environment": "{environment}", "user_id": "eve"}

LINES = (
    # documentation
    Line("GET", "/", OPEN),
    Line("GET", "/openapi.json", OPEN),
    Line("HEAD", "/openapi.json", OPEN),
    Line("GET", "/docs", OPEN),
    Line("GET", "/docs/oauth2-redirect", OPEN),
    Line("GET", "/redoc", OPEN),
    Line("MOUNT", "/docs/static", OPEN),
    # health
    Line("GET", "/health", OPEN),
    Line("GET", "/config/health", OPEN),
    Line("GET", "/api/v1/health", OPEN),
    Line("GET", "/api/v1/health/live", OPEN),
    Line("GET", "/api/v1/health/ready", OPEN),
    Line("GET", "/metrics", METRICS),  # and this machine
    # accounts
    Line("POST", "/auth/register", ARRIVAL, body=NEWCOMER),
    Line("POST", "/auth/login", OPEN, form=USER),
    Line("POST", "/login", OPEN, body=USER),
    Line("POST", "/auth/logout", LOGIN, uses="login", spends=True),
    Line("GET", "/auth/me", LOGIN),
    Line("POST", "/auth/password", LOGIN, body={"old": "{password}", "new": "{password}"}),
    Line("GET", "/auth/users", GLOBAL_ADMIN),
    Line("PATCH", "/auth/users/{user_id}", GLOBAL_ADMIN, body={"disabled": False}),
    # documents
    Line("GET", "/config/list", READ, MANY, shows=True),
    Line("GET", "/config/get", READ, LEVEL, query=AT, shows=True),
    Line("GET", "/config/versions", READ, LEVEL, query=AT, shows=True),
    Line(
        "GET",
        "/config/diff",
        READ,
        LEVEL,
        query={**AT, "version1_id": "{version_id}", "version2_id": "{other_version_id}"},
        shows=True,
    ),
    Line(
        "POST",
        "/config/update",
        WRITE,
        LEVEL,
        body={"name": "{service}", "environment": "{environment}", "config": DOCUMENT},
        shows=True,
    ),
    Line(
        "POST",
        "/config/rollback",
        WRITE,
        LEVEL,
        query={**AT, "version_id": "{version_id}"},
        shows=True,
    ),
    Line("DELETE", "/config/delete", WRITE, LEVEL, query=AT, spends=True),
    Line(
        "POST",
        "/config/restore",
        WRITE,
        LEVEL,
        query=AT,
        uses="deleted",
        spends=True,
        shows=True,
    ),
    Line(
        "GET",
        "/config/{service_name}",
        READ,
        LEVEL,
        query={"environment": "{environment}", "explain": "true"},
        shows=True,
    ),
    Line(
        "POST",
        "/config/{service_name}",
        WRITE,
        LEVEL,
        body={"environment": "{environment}", "config": DOCUMENT},
        shows=True,
    ),
    Line(
        "PATCH",
        "/config/{service_name}",
        CHANGE,
        LEVEL,
        query={"environment": "{environment}"},
        body={"patched": WRITTEN},
        content_type="application/merge-patch+json",
        shows=True,
    ),
    Line(
        "POST",
        "/config/{service_name}/merge",
        CHANGE,
        LEVEL,
        body={
            "base_version": 1,
            "environment": "{environment}",
            "config": {"token": STORED, "n": f"{STORED} 1", "merged": WRITTEN},
        },
        shows=True,
    ),
    Line(
        "GET",
        "/config/{service_name}/history",
        READ,
        LEVEL,
        query={"environment": "{environment}"},
        shows=True,
    ),
    Line(
        "POST",
        "/config/{service_name}/rollback",
        WRITE,
        LEVEL,
        body={"version": 1, "environment": "{environment}"},
        shows=True,
    ),
    Line(
        "GET",
        "/api/v1/diff",
        READ,
        LEVEL,
        query={"from": "{reference}#1", "to": "{reference}#2"},
        shows=True,
    ),
    # environments
    Line("GET", "/environments", READ, MANY),
    Line("POST", "/environments", ADMIN, ALL_SERVICES, body={"name": "{fresh}"}),
    Line(
        "PATCH",
        "/environments/{name}",
        ADMIN,
        ALL_SERVICES,
        body={"description": "{fresh}"},
        uses="environment",
    ),
    Line(
        "DELETE",
        "/environments/{name}",
        ADMIN,
        ALL_SERVICES,
        uses="environment",
        spends=True,
    ),
    # flags
    Line(
        "POST",
        FLAGS,
        WRITE,
        FLAG,
        body={"name": "{fresh}", "environment": "{environment}", "is_enabled": True},
        uses="flag",
    ),
    Line("GET", FLAGS, READ, MANY),
    Line("POST", f"{FLAGS}/evaluate", READ, FLAG, body=ASKED, uses="flag"),
    Line("POST", f"{FLAGS}/evaluate/batch", READ, FLAG, body=ASKED, uses="flag"),
    Line("GET", f"{FLAGS}/{{flag_id}}/versions", READ, FLAG, uses="flag"),
    Line("POST", f"{FLAGS}/{{flag_id}}/rollback", CHANGE, FLAG, body={"version": 1}, uses="flag"),
    Line("PUT", f"{FLAGS}/{{flag_id}}", CHANGE, FLAG, body={"owner": "{fresh}"}, uses="flag"),
    Line("DELETE", f"{FLAGS}/{{flag_id}}", WRITE, FLAG, uses="flag", spends=True),
    Line("POST", f"{FLAGS}/{{name}}/explain", READ, FLAG, body=ASKED, uses="flag"),
    Line("GET", f"{FLAGS}/{{name}}", READ, FLAG, query=IN_ENVIRONMENT, uses="flag"),
    Line(
        "GET", f"{FLAGS}/{{flag_id}}/diff", READ, FLAG, query={"from": "1", "to": "1"}, uses="flag"
    ),
    Line("GET", f"{FLAGS}/snapshot", READ, FLAG, query=IN_ENVIRONMENT, uses="flag"),
    Line("POST", f"{FLAGS}/usage", READ, FLAG, body=IN_ENVIRONMENT, uses="flag"),
    Line("GET", f"{FLAGS}/usage", READ, FLAG, query=IN_ENVIRONMENT, uses="flag"),
    Line("GET", f"{FLAGS}/stale", READ, FLAG, query=IN_ENVIRONMENT, uses="flag"),
    Line(
        "POST",
        "/ofrep/v1/evaluate/flags/{key}",
        READ,
        FLAG,
        query=IN_ENVIRONMENT,
        body={"context": {"targetingKey": "eve"}},
        uses="flag",
    ),
    Line(
        "POST",
        "/ofrep/v1/evaluate/flags",
        READ,
        FLAG,
        query=IN_ENVIRONMENT,
        body={"context": {"targetingKey": "eve"}},
        uses="flag",
    ),
    Line("GET", "/ofrep/v1/events", READ, FLAG, query=IN_ENVIRONMENT, uses="flag"),
    Line("GET", "/api/v1/segments", READ),
    Line("POST", "/api/v1/segments", WRITE, EVERYTHING, body={"name": "{fresh}"}),
    Line("GET", "/api/v1/segments/{name}", READ, uses="segment"),
    Line(
        "PUT",
        "/api/v1/segments/{name}",
        CHANGE,
        EVERYTHING,
        body={"included": ["{fresh}"]},
        uses="segment",
    ),
    Line("DELETE", "/api/v1/segments/{name}", WRITE, EVERYTHING, uses="segment", spends=True),
    # versioned names
    Line(
        "POST",
        "/configs",
        WRITE,
        SERVICE,
        body={"name": "billing-{fresh}", "data": DOCUMENT},
        shows=True,
    ),
    Line("PUT", "/configs/{name}", WRITE, SERVICE, body={"data": DOCUMENT}, shows=True),
    Line("GET", "/configs/{name}", READ, SERVICE, shows=True),
    Line("GET", "/configs/{name}/versions", READ, SERVICE),
    # keys, first family
    Line(
        "POST",
        "/api/v1/configs",
        WRITE,
        LEVEL,
        body={
            "key": "{fresh}",
            "value": WRITTEN,
            "app_id": "{service}",
            "environment": "{environment}",
        },
        shows=True,
    ),
    Line("GET", "/api/v1/configs", READ, MANY, shows=True),
    Line(
        "POST",
        "/api/v1/configs/fetch",
        READ,
        LEVEL,
        body={"app_id": "{service}", "environment": "{environment}"},
        shows=True,
    ),
    Line("GET", "/api/v1/configs/{key_id}", READ, LEVEL, shows=True),
    Line("PUT", "/api/v1/configs/{key_id}", WRITE, LEVEL, body={"value": WRITTEN}, shows=True),
    Line("DELETE", "/api/v1/configs/{key_id}", WRITE, LEVEL, spends=True),
    Line("GET", "/api/v1/versions/config/{key_id}", READ, LEVEL, shows=True),
    Line(
        "POST",
        "/api/v1/versions/rollback/{key_id}",
        WRITE,
        LEVEL,
        body={"target_version": 1},
        shows=True,
    ),
    Line(
        "POST",
        "/api/v1/changes",
        WRITE,
        LEVEL,
        body={"changes": [{**SET, "value": WRITTEN}]},
        shows=True,
    ),
    # keys, second family
    Line(
        "POST",
        "/api/v1/config",
        WRITE,
        LEVEL,
        body={
            "key": "{fresh}",
            "value": WRITTEN,
            "service_name": "{service}",
            "environment": "{environment}",
        },
        shows=True,
    ),
    Line("GET", "/api/v1/config", READ, MANY, shows=True),
    Line("PUT", "/api/v1/config/{config_id}", WRITE, LEVEL, body={"value": WRITTEN}, shows=True),
    Line("DELETE", "/api/v1/config/{config_id}", WRITE, LEVEL, spends=True),
    Line("GET", "/api/v1/config/{config_id}/history", READ, LEVEL, shows=True),
    Line(
        "GET",
        "/api/v1/config/{key}",
        READ,
        LEVEL,
        query={"service_name": "{service}", "environment": "{environment}"},
        shows=True,
    ),
    # secrets
    Line("POST", "/api/v1/secrets/wrap", WRITE, body={"value": WRITTEN}),
    Line(
        "POST",
        "/api/v1/secrets/unwrap",
        OPEN,
        body={"token": "{token}"},
        uses="wrapped",
        spends=True,
    ),
    Line(
        "POST",
        "/api/v1/secrets/{handle}/destroy",
        ADMIN,
        LEVEL,
        body={"name": "{key}"},
        uses="old_secret",
        spends=True,
        publishes=True,
    ),
    Line(
        "PUT",
        "/api/v1/config/{config_id}/rotator",
        ADMIN,
        LEVEL,
        body=ROTATOR,
        uses="rotated",
        publishes=True,
    ),
    Line("GET", "/api/v1/config/{config_id}/rotator", READ, LEVEL, uses="rotated"),
    Line(
        "DELETE",
        "/api/v1/config/{config_id}/rotator",
        ADMIN,
        LEVEL,
        uses="rotated",
        spends=True,
        publishes=True,
    ),
    Line("POST", "/api/v1/config/{config_id}/rotate", WRITE, LEVEL, uses="rotated"),
    # streams
    Line("GET", "/api/v1/stream", READ, MANY),
    Line("POST", "/api/v1/stream/tickets", READ),
    # instances
    Line(
        "POST",
        "/api/v1/instances/report",
        READ,
        LEVEL,
        body={**AT, "instance_id": "{fresh}", "revision": 1, "version": "v", "status": "applied"},
    ),
    Line("GET", "/api/v1/instances", READ, MANY),
    # workspaces
    Line("GET", "/api/v1/workspaces", READ),
    Line("POST", "/api/v1/workspaces", LOGIN, body={"slug": "{fresh}"}),
    Line("GET", "/api/v1/workspaces/{slug}", READ),
    Line("PATCH", "/api/v1/workspaces/{slug}", ADMIN, EVERYTHING, body={"name": "{fresh}"}),
    Line("DELETE", "/api/v1/workspaces/{slug}", OWNER, uses="workspace", spends=True),
    Line("GET", "/api/v1/workspaces/{slug}/members", READ),
    Line("GET", "/api/v1/workspaces/{slug}/members/{user}", READ, uses="member"),
    Line(
        "PUT",
        "/api/v1/workspaces/{slug}/members/{user}",
        MEMBERS,
        EVERYTHING,
        body={"role": "{role}"},
        uses="member",
    ),
    Line(
        "DELETE",
        "/api/v1/workspaces/{slug}/members/{user}",
        MEMBERS,
        EVERYTHING,
        uses="member",
        spends=True,
    ),
    Line("GET", "/api/v1/workspaces/{slug}/services", READ, MANY),
    Line(
        "PATCH",
        "/api/v1/workspaces/{slug}/services/{name}",
        ADMIN,
        SERVICE,
        body={"name": "billing-{fresh}"},
        uses="service",
        spends=True,
    ),
    Line(
        "POST",
        "/api/v1/workspaces/{slug}/restore",
        RESTORE,
        EVERYTHING,
        body={"at": 1, "dry_run": True},
    ),
    # API keys
    Line("GET", "/api/v1/api-keys", ADMIN, uses="api_key"),
    Line("POST", "/api/v1/api-keys", ADMIN, EVERYTHING, body=GRANT),
    Line("GET", "/api/v1/api-keys/{key_id}", ADMIN, uses="api_key"),
    Line(
        "DELETE",
        "/api/v1/api-keys/{key_id}",
        ADMIN,
        EVERYTHING,
        uses="api_key",
        spends=True,
    ),
    Line("POST", "/api/v1/api-keys/{key_id}/rotate", ADMIN, EVERYTHING, uses="api_key"),
    # audit
    Line("GET", "/api/v1/audit", AUDIT),
    Line("GET", "/api/v1/audit/{event_id}", AUDIT),
)
