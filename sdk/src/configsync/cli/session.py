"""Logging in and out, and the servers that are known."""

import getpass
import os
import sys
from contextlib import suppress
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from configsync._errors import AccessDenied, AuthenticationError, ConfigSyncError
from configsync.cli import credentials, output, profiles
from configsync.cli.api import Api
from configsync.cli.context import Context, Here, here
from configsync.cli.failures import Code, Failure

LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def login(
    ctx: Context,
    url: Annotated[str | None, typer.Argument(help="The server.")] = None,
    username: Annotated[
        str | None, typer.Option("--username", "-u", help="Who; without it an API key is asked.")
    ] = None,
) -> None:
    """Log in with a password or an API key, which is asked for, or read from standard input."""
    at = here(ctx)
    at.url = url or at.url
    name = at.profile or profiles.load().current
    target = _target(at, name)
    _warn_of_plain_http(target)
    who = username or _asked("User name (empty: an API key): ")
    try:
        entry = _with_password(target, who) if who else _with_key(target)
    except AuthenticationError as error:  # the usual advice is what was just done
        raise Failure(f"{error.detail.rstrip('.')}.", Code.NOT_ALLOWED) from error
    known = profiles.load()
    members = {"url": target, **({"workspace": at.workspace} if at.workspace else {})}
    kept = known.known.get(name, {}) if known.known.get(name, {}).get("url") == target else {}
    known.known[name] = {**kept, **members}
    known.current = name
    profiles.save(known)
    place = credentials.save(name, entry)
    output.say(f"Logged in to {target} (profile {name}); kept in {place}.")
    if at.as_json:
        output.write_json({"url": target, "profile": name})


def _target(at: Here, name: str) -> str:
    known = profiles.load().known.get(name, {})
    given = at.url or os.environ.get("CONFIGSYNC_URL") or known.get("url")
    if not given:
        raise Failure("Which server? Say: configsync login URL", Code.USAGE)
    return profiles.checked(given)


def _warn_of_plain_http(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        output.say(f"Warning: {url} is not encrypted; others on the way can read along.")


def _asked(prompt: str) -> str:
    if not sys.stdin.isatty():
        return ""
    return output.ask(prompt)


def hidden(prompt: str) -> str:
    """Return a secret: typed unseen at a terminal, else the first line of standard input."""
    try:
        text = (
            getpass.getpass(prompt)
            if sys.stdin.isatty()
            else output.typed(sys.stdin.readline).rstrip("\n")
        )
    except EOFError:
        text = ""
    if not text:
        raise Failure(f"{prompt.strip(': ')} is missing.", Code.USAGE)
    return text


def _with_password(url: str, username: str) -> dict[str, Any]:
    password = hidden("Password: ")
    with Api(url) as api:
        body = {"username": username, "password": password}
        answer = api.call("POST", "/login", body=body, scoped=False).body
    return {
        "url": url,
        "token": answer["access_token"],
        "expires_at": answer["expires_at"],
        "username": username,
    }


def _with_key(url: str) -> dict[str, Any]:
    key = hidden("API key: ").strip()
    with Api(url, token=key) as api, suppress(AccessDenied):  # known, but may not read this
        api.get("/environments", {"limit": 1})
    return {"url": url, "token": key}


def logout(ctx: Context) -> None:
    """End the session on the server, and forget the credential."""
    at = here(ctx)
    name = at.profile or profiles.load().current
    entry = credentials.load(name)
    credentials.forget(name)
    if entry is None:
        output.say(f"Nobody was logged in (profile {name}).")
    elif "username" in entry:
        _end(str(entry["url"]), str(entry["token"]))
    if entry is not None:
        output.say(f"Logged out (profile {name}).")
    if at.as_json:
        output.write_json({"profile": name, "logged_out": entry is not None})


def _end(url: str, token: str) -> None:
    try:
        with Api(url, token=token) as api:
            api.call("POST", "/auth/logout", scoped=False)
    except ConfigSyncError as error:
        output.say(f"The server did not hear of it, the session ends by itself: {error}")


def whoami(ctx: Context) -> None:
    """Show who you are to the server."""
    at = here(ctx)
    target = at.target
    found: dict[str, Any] = {"profile": target.profile, "url": target.url}
    try:
        found |= {"kind": "user", **at.api.get("/auth/me", scoped=False).body}
    except AccessDenied as error:
        if error.code != "users_only":
            raise
        found["kind"] = "api_key"
    rows = [(name, _plain(value)) for name, value in found.items()]
    at.show_table(found, ("WHAT", "VALUE"), rows)


def _plain(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return ", ".join(f"{one.get('slug')} ({one.get('role')})" for one in value) or None


def profiles_list(ctx: Context) -> None:
    """List the servers that are known."""
    known = profiles.load()
    found = [
        {"name": name, "current": name == known.current, **members}
        for name, members in sorted(known.known.items())
    ]
    columns = ("name", "current", *profiles.MEMBERS)
    rows = [[one.get(column) for column in columns] for one in found]
    here(ctx).show_table({"profiles": found}, [one.upper() for one in columns], rows)


def profiles_use(ctx: Context, name: Annotated[str, typer.Argument(help="Which.")]) -> None:
    """Use a profile where none is named."""
    known = profiles.load()
    known.current = _known(known, name)
    _kept(ctx, known, f"Using {name} from now on.")


def profiles_set(
    ctx: Context,
    name: Annotated[str, typer.Argument(help="Which; it is made if it is new.")],
    service: Annotated[str | None, typer.Option("--service", "-s", help="The usual one.")] = None,
    environment: Annotated[
        str | None, typer.Option("--environment", "-e", help="The usual one.")
    ] = None,
) -> None:
    """Set what a profile has: --url, --workspace, and the usual service and environment."""
    at, known = here(ctx), profiles.load()
    url = profiles.checked(at.url) if at.url else None
    given = dict(zip(profiles.MEMBERS, (url, at.workspace, service, environment), strict=True))
    merged = {**known.known.get(name, {}), **{k: v for k, v in given.items() if v is not None}}
    if "url" not in merged:
        raise Failure("A new profile needs an address: --url URL", Code.USAGE)
    known.known[name] = {key: value for key, value in merged.items() if value}
    _kept(ctx, known, f"Profile {name} is set.")


def profiles_remove(ctx: Context, name: Annotated[str, typer.Argument(help="Which.")]) -> None:
    """Forget a server and its credential."""
    known = profiles.load()
    del known.known[_known(known, name)]
    credentials.forget(name)
    _kept(ctx, known, f"Profile {name} is forgotten.")


def _known(known: profiles.Profiles, name: str) -> str:
    if name not in known.known:
        raise Failure(f"There is no profile {name!r}.", Code.NOT_FOUND)
    return name


def _kept(ctx: Context, known: profiles.Profiles, message: str) -> None:
    profiles.save(known)
    output.say(message)
    if here(ctx).as_json:
        output.write_json({"current": known.current, "profiles": known.known})
