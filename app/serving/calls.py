"""What a raw request asks for, if it is one of those that are answered from memory."""

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl

from pydantic import ValidationError
from starlette.types import Scope

from app.configs.levels import MAX_KEY, Level, check_name, check_service
from app.core.http import unreadable
from app.core.schemas import printable
from app.formats import json
from app.keys.schemas import FetchQuery
from app.workspaces.deps import MIN_REVISION

MAX_WAIT_SECONDS = 60.0
ROOT, ITEMS, FETCH = b"/config/", b"/api/v1/config/", b"/api/v1/configs/fetch"
FLAGS = b"/api/v1/feature-flags/snapshot"


class Form(StrEnum):
    """The hot routes, by what they answer."""

    STORED = "stored"
    EFFECTIVE = "effective"
    FETCH = "fetch"
    ITEM = "item"
    FLAGS = "flags"
    EVALUATE = "evaluate"
    BATCH = "batch"
    OFREP = "ofrep"
    OFREP_BULK = "ofrep_bulk"


TEMPLATES = {
    Form.STORED: "/config/get",
    Form.EFFECTIVE: "/config/{service_name}",
    Form.FETCH: "/api/v1/configs/fetch",
    Form.ITEM: "/api/v1/config/{key}",
    Form.FLAGS: "/api/v1/feature-flags/snapshot",
    Form.EVALUATE: "/api/v1/feature-flags/evaluate",
    Form.BATCH: "/api/v1/feature-flags/evaluate/batch",
    Form.OFREP: "/ofrep/v1/evaluate/flags/{key}",
    Form.OFREP_BULK: "/ofrep/v1/evaluate/flags",
}
GETS = frozenset({Form.STORED, Form.EFFECTIVE, Form.ITEM, Form.FLAGS})


@dataclass(frozen=True, slots=True)
class Call:
    """A request, read. `key`: of an item; `names`: of a fetch, None: all of them.

    `version` and `wait`: answer when it is another one, or after so many seconds.
    `least`: epoch (may be empty) and revision that the answer must have.
    """

    form: Form
    level: Level
    workspace: str | None = None
    key: str | None = None
    names: tuple[str, ...] | None = None
    version: str | None = None
    wait: float = 0.0
    least: tuple[str, int] | None = None

    @property
    def part(self) -> object:
        """Return what of a snapshot it asks for: calls that agree in it have one answer."""
        return (self.form, self.key if self.form is Form.ITEM else self.names)


def read(scope: Scope, body: bytes) -> Call | None:
    """Return the call of a raw request; None: the framework shall answer it, or say what is wrong.

    That is every request which has anything unusual: other parameters, bad names, the past.
    """
    if scope["path"].endswith("/") or unreadable(scope):
        return None
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    query = dict(pairs)
    if len(query) != len(pairs):
        return None
    try:
        return _read(scope["raw_path"], scope["path"], query, body)
    except (ValueError, json.JsonError, ValidationError):
        return None


def _read(raw_path: bytes, path: str, query: dict[str, str], body: bytes) -> Call | None:
    least = least_of(query.pop("min_revision", None))
    workspace = query.pop("workspace", None)
    if raw_path == FETCH:
        return None if query else _fetch(body, workspace, least)
    environment = query.pop("environment", None)
    if environment is not None:
        check_name(environment)
    if raw_path == FLAGS:
        is_whole = environment is not None and not query
        return (
            Call(Form.FLAGS, Level(None, environment), workspace, least=least) if is_whole else None
        )
    if raw_path.startswith(ITEMS):
        return _item(path[len(ITEMS) :], query, environment, workspace, least)
    name = path[len(ROOT) :]
    form = Form.EFFECTIVE
    if name == "get":
        form, name = Form.STORED, query.pop("service", "")
    elif query.pop("stored", "false") != "false":
        return None
    if query or "/" in name:
        return None
    return Call(form, Level.of(check_service(name), environment), workspace, least=least)


def _item(
    key: str,
    query: dict[str, str],
    environment: str | None,
    workspace: str | None,
    least: tuple[str, int] | None,
) -> Call | None:
    service = check_service(query.pop("service_name", "_global"))
    if query or not 0 < len(key) <= MAX_KEY or key.partition("/")[0].isdecimal():
        return None
    level = Level.of(service, environment)
    return Call(Form.ITEM, level, workspace, key=printable(key), least=least)


def _fetch(body: bytes, workspace: str | None, least: tuple[str, int] | None) -> Call:
    wanted = FetchQuery.model_validate(json.loads(body))
    return Call(
        Form.FETCH,
        Level.of(wanted.app_id, wanted.environment),
        workspace,
        names=None if wanted.keys is None else tuple(wanted.keys),
        version=wanted.version,
        wait=wanted.wait if wanted.version is not None else 0.0,
        least=least,
    )


def least_of(text: str | None) -> tuple[str, int] | None:
    """Return the epoch (may be empty) and revision of `min_revision`; raise ValueError."""
    if text is None:
        return None
    if not MIN_REVISION.fullmatch(text):
        raise ValueError("not a revision")
    epoch, _, number = text.rpartition("-")
    return epoch, int(number)


def preferred_wait(header: bytes) -> float:
    """Return the seconds of `Prefer: wait=30`, 0 if it says nothing of the kind."""
    for one in header.decode("latin-1").split(","):
        name, _, value = one.strip().partition("=")
        if name.strip().lower() == "wait" and value.strip().isdecimal():
            return min(float(value), MAX_WAIT_SECONDS)
    return 0.0
