"""Environments, API keys, workspaces, and who runs what."""

from typing import Annotated, Any

import typer

from configsync.cli import output
from configsync.cli.api import PREFIX, path_of
from configsync.cli.context import Context, Environment, Here, Service, here
from configsync.cli.failures import Code, Failure

KEYS = f"{PREFIX}/api-keys"
WORKSPACES = f"{PREFIX}/workspaces"
Id = Annotated[int, typer.Argument(help="Its id: see configsync keys list.")]
Slug = Annotated[str, typer.Argument(help="Its slug.")]
Some = Annotated[str | None, typer.Option(help="Names or patterns, with commas.")]


def envs_list(ctx: Context) -> None:
    """List the environments."""
    at = here(ctx)
    found = list(at.api.pages("/environments", "environments"))
    rows = [(one["name"], one["protected"], one["description"]) for one in found]
    at.show_table({"environments": found}, ("NAME", "PROTECTED", "DESCRIPTION"), rows)


def envs_create(
    ctx: Context,
    name: Annotated[str, typer.Argument(help="Its name.")],
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    protected: Annotated[
        bool, typer.Option("--protected", help="Changes need the right to publish.")
    ] = False,
) -> None:
    """Add an environment."""
    body = {"name": name, "description": description, "protected": protected}
    at = here(ctx)
    answer = at.api.call("POST", "/environments", body=body).body
    at.done(f"Environment {name} is there.", answer)


def envs_delete(ctx: Context, name: Annotated[str, typer.Argument(help="Which.")]) -> None:
    """Delete an environment in which there is nothing."""
    at = here(ctx)
    at.api.call("DELETE", path_of("environments", name))
    at.done(f"Environment {name} is deleted.", {"name": name})


def keys_list(ctx: Context) -> None:
    """List the API keys; their texts are not kept."""
    at = here(ctx)
    found = list(at.api.pages(KEYS, "api_keys"))
    columns = ("ID", "NAME", "PREFIX", "MAY", "SERVICES", "ENVIRONMENTS", "EXPIRES", "LAST USED")
    at.show_table({"api_keys": found}, columns, map(_key_row, found))


def _key_row(one: dict[str, Any]) -> tuple[Any, ...]:
    scopes = (", ".join(one["scopes"][name]) for name in ("actions", "services", "environments"))
    return one["id"], one["name"], one["prefix"], *scopes, one["expires_at"], one["last_used_at"]


def keys_create(
    ctx: Context,
    name: Annotated[str, typer.Argument(help="What it is for.")],
    actions: Annotated[
        str, typer.Option(help="Of read, read_secrets, write, publish, admin, metrics.")
    ] = "read",
    services: Some = None,
    environments: Some = None,
    addresses: Annotated[str | None, typer.Option(help="From where, with commas.")] = None,
    expires_at: Annotated[
        str | None, typer.Option(help="When it ends: a time with offset.")
    ] = None,
) -> None:
    """Make an API key. Its text is written this once."""
    at = here(ctx)
    given = {
        "actions": actions,
        "services": services,
        "environments": environments,
        "addresses": addresses,
    }
    scopes = {what: _listed(text) for what, text in given.items() if text is not None}
    body = {"name": name, "scopes": scopes, "expires_at": expires_at}
    _shown_once(at, at.api.call("POST", KEYS, body=body).body)


def _listed(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def keys_rotate(
    ctx: Context,
    key_id: Id,
    overlap: Annotated[int | None, typer.Option(help="Seconds the old text works on.")] = None,
) -> None:
    """Give an API key a new text, which is written this once."""
    at = here(ctx)
    body = {} if overlap is None else {"overlap_seconds": overlap}
    _shown_once(at, at.api.call("POST", f"{KEYS}/{key_id}/rotate", body=body).body)


def _shown_once(at: Here, answer: dict[str, Any]) -> None:
    output.say(f"API key {answer['id']}, {answer['name']}. Keep it: it is not shown again.")
    at.show(answer, answer["key"])


def keys_revoke(ctx: Context, key_id: Id) -> None:
    """End an API key at once."""
    at = here(ctx)
    at.api.call("DELETE", f"{KEYS}/{key_id}")
    at.done(f"API key {key_id} is revoked.", {"id": key_id})


def workspaces_list(ctx: Context) -> None:
    """List the workspaces that you belong to."""
    at = here(ctx)
    found = list(at.api.pages(WORKSPACES, "workspaces", scoped=False))
    rows = [(one["slug"], one["name"], one["role"], one["revision"]) for one in found]
    at.show_table({"workspaces": found}, ("SLUG", "NAME", "ROLE", "REVISION"), rows)


def workspaces_create(
    ctx: Context,
    slug: Slug,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
) -> None:
    """Make a workspace, yours."""
    at = here(ctx)
    body = {"slug": slug, "name": name}
    answer = at.api.call("POST", WORKSPACES, body=body, scoped=False).body
    at.done(f"Workspace {slug} is there. Use it with: --workspace {slug}", answer)


def workspaces_members(
    ctx: Context,
    slug: Slug,
    add: Annotated[str | None, typer.Option(help="Add this user, or change the role.")] = None,
    role: Annotated[str, typer.Option(help="viewer, editor, admin or owner.")] = "viewer",
    remove: Annotated[str | None, typer.Option(help="Remove this user.")] = None,
) -> None:
    """List who belongs to a workspace, after adding or removing somebody."""
    at = here(ctx)
    if add is not None and add == remove:
        raise Failure("Either add somebody or remove them.", Code.USAGE)
    path = f"{WORKSPACES}{path_of(slug)}/members"
    if add is not None:
        at.api.call("PUT", f"{path}{path_of(add)}", body={"role": role}, scoped=False)
    if remove is not None:
        at.api.call("DELETE", f"{path}{path_of(remove)}", scoped=False)
    found = list(at.api.pages(path, "members", scoped=False))
    rows = [(one["username"], one["role"], one["email"]) for one in found]
    at.show_table({"members": found}, ("USER", "ROLE", "E-MAIL"), rows)


def status(ctx: Context, service: Service = None, environment: Environment = None) -> None:
    """Show which instance runs what, and who is behind."""
    at = here(ctx)
    query = {"service": service, "environment": environment or None}
    found = list(at.api.pages(f"{PREFIX}/instances", "instances", query))
    columns = ("INSTANCE_ID", "SERVICE", "ENVIRONMENT", "REVISION", "BEHIND", "STATUS", "LAST_SEEN")
    rows = [[one[name.lower()] for name in columns] for one in found]
    at.show_table({"instances": found}, [name.replace("_", " ") for name in columns], rows)
    for one in found:
        if one["error"]:
            output.say(f"{one['instance_id']} rejected revision {one['revision']}: {one['error']}")
