"""`doctor`: what works between here and the server, and what to do about the rest."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from configsync import __version__
from configsync._errors import AccessDenied, ConfigSyncError
from configsync.cli import credentials, output
from configsync.cli.api import PREFIX, Api
from configsync.cli.context import Context, Here, here
from configsync.cli.failures import Code, Failure

SKEW_S = 30.0
MARKS = {"ok": "green", "warning": "yellow", "failed": "red"}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; `advice` is for what is not well."""

    name: str
    state: str
    found: str
    advice: str = ""


Checks = Iterator[Check]


def doctor(ctx: Context) -> None:
    """Look for what is wrong between here and the server."""
    at = here(ctx)
    checks: list[Check] = []
    for step in (_profile, _network, _server, _login, _stream):
        checks += _safely(step, at)
        if checks[-1].state == "failed":
            break
    if at.as_json:
        output.write_json({"checks": [asdict(one) for one in checks]})
    for one in [] if at.as_json else checks:
        at.write(f"{one.state:<8} {one.name}: {one.found}", MARKS[one.state])
        if one.advice:
            output.write(f"         {one.advice}")
    if checks[-1].state == "failed":
        raise Failure("Something is wrong; see above.", Code.FAILED)


def _safely(step: Callable[[Here], Checks], at: Here) -> list[Check]:
    found: list[Check] = []
    try:
        found += step(at)
    except ConfigSyncError as error:
        name = step.__name__.strip("_")
        found.append(Check(name, "failed", str(error), _advice(name)))
    return found


def _advice(name: str) -> str:
    return {
        "profile": "Log in with: configsync login URL",
        "server": "Is it running, and is this its address? Ask whoever runs it for its log.",
        "login": "Log in with: configsync login, or set CONFIGSYNC_API_KEY.",
        "stream": "Something between here and the server may hold back streams.",
    }.get(name, "")


def _profile(at: Here) -> Checks:
    said = (
        "CONFIGSYNC_URL" if os.environ.get("CONFIGSYNC_URL") and not at.url else at.target.profile
    )
    yield Check("profile", "ok", f"{said}: {at.target.url}")


def _network(at: Here) -> Checks:
    parts = urlsplit(at.target.url)
    place = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
    try:
        with socket.create_connection(place, timeout=10) as link:
            yield Check("network", "ok", f"connected to {link.getpeername()[0]} port {place[1]}")
    except socket.gaierror:
        yield Check("network", "failed", f"{place[0]} is not known", "Is the name right? And DNS?")
    except OSError as error:
        why = error.strerror or "no answer in time"
        advice = "Is the server running, and does a firewall let you through?"
        yield Check("network", "failed", f"{place[0]} port {place[1]}: {why}", advice)


def _server(at: Here) -> Checks:
    with Api(at.target.url) as api:
        asked = time.time()
        answer = api.get("/config/health", scoped=False)
        took = time.time() - asked
        ready = api.get(f"{PREFIX}/health/ready", scoped=False).body
    if urlsplit(at.target.url).scheme == "https":
        yield Check("TLS", "ok", "the certificate fits")
    yield from _skew(answer.headers.get("date", ""), asked + took / 2)
    version = str(answer.body.get("version", "unknown"))
    if version.partition(".")[0] == __version__.partition(".")[0]:
        yield Check("versions", "ok", f"server {version}, this {__version__}")
    else:
        advice = "They may not understand each other: install the same major version."
        yield Check("versions", "warning", f"server {version}, this {__version__}", advice)
    if ready.get("degraded"):
        yield Check("server", "warning", "ready, but degraded", "See /config/health, or its log.")
    else:
        yield Check("server", "ok", f"ready, answered in {took * 1000:.0f} ms")


def _skew(date: str, now: float) -> Checks:
    try:
        skew = parsedate_to_datetime(date).timestamp() - now
    except ValueError:
        return
    if abs(skew) <= SKEW_S:
        yield Check("clock", "ok", "the same as the server's")
    else:
        advice = "Set one of the clocks; logins end by time."
        yield Check("clock", "warning", f"{skew:+.0f} s between the server's and this one", advice)


def _login(at: Here) -> Checks:
    target = at.target
    if credentials.token_for(target.profile, target.url) is None:
        yield Check("login", "failed", "nobody is logged in", _advice("login"))
        return
    try:
        at.api.get("/environments", {"limit": 1})
    except AccessDenied as error:
        yield Check(
            "login", "warning", f"known, but: {error.detail}", "Ask an admin for the right."
        )
    else:
        yield Check("login", "ok", f"known to the server, {_source(at)}")


def _source(at: Here) -> str:
    is_set = bool(os.environ.get("CONFIGSYNC_API_KEY"))
    return "by CONFIGSYNC_API_KEY" if is_set else f"by profile {at.target.profile}"


def _stream(at: Here) -> Checks:
    with at.api.stream({}, None) as lines:
        first = next(lines, b"")
    state = "ok" if first else "failed"
    yield Check(
        "stream", state, "opens" if first else "ended at once", "" if first else _advice("stream")
    )
