"""Segments: seeing and changing who is meant."""

from typing import Annotated, Any

import typer

from configsync._errors import NotFound
from configsync.cli import describing, files, output
from configsync.cli.api import PREFIX, expect, path_of
from configsync.cli.context import Context, Expected, Here, Message, here
from configsync.cli.failures import Code, Failure

SEGMENTS = f"{PREFIX}/segments"
LISTS = ("included", "excluded")
READ_ONLY = {"name", "version", "revision"}

Name = Annotated[str, typer.Argument(help="The segment.")]
Users = Annotated[list[str] | None, typer.Option(help="A user; may be said again.")]


def list_(ctx: Context) -> None:
    """List the segments."""
    at = here(ctx)
    answer = at.api.get(SEGMENTS).body
    rows = [
        (one["name"], *(len(one[member]) for member in LISTS), bool(one["when"]), one["version"])
        for one in answer["segments"]
    ]
    at.show_table(answer, ("SEGMENT", "INCLUDED", "EXCLUDED", "CONDITION", "VERSION"), rows)


def get(ctx: Context, name: Name) -> None:
    """Show a segment: who is in it."""
    at = here(ctx)
    segment = find_segment(at, name)
    if segment is None:
        raise Failure(
            f"There is no segment {name!r}. See what is there with: configsync segments list",
            Code.NOT_FOUND,
        )
    lines = [f"{name}: version {segment['version']}, revision {segment['revision']}"]
    if segment["description"]:
        lines.append(segment["description"])
    lines += [f"  {member:<10}{output.short(segment[member])}" for member in LISTS]
    if segment["when"]:
        lines += ["  when", *(line for _, line in describing.condition(segment["when"], 2))]
    at.show(segment, "\n".join(lines))


def find_segment(at: Here, name: str) -> dict[str, Any] | None:
    """Return the segment of that name, if there is one."""
    try:
        segment: dict[str, Any] = at.api.get(f"{SEGMENTS}{path_of(name)}").body
    except NotFound as error:
        if error.code != "segment_not_found":
            raise
        return None
    expect(segment, included=list, excluded=list, version=int)
    return segment


def set_(
    ctx: Context,
    name: Name,
    include: Users = None,
    exclude: Users = None,
    forget: Users = None,
    description: Annotated[str | None, typer.Option(help="Who is meant.")] = None,
    file: Annotated[
        str | None,
        typer.Option("--file", "-f", help="Members, as segments get --json has them; - is stdin."),
    ] = None,
    message: Message = None,
    expect_version: Expected = None,
) -> None:
    """Change who is in a segment; one that is not there is made."""
    at = here(ctx)
    old = find_segment(at, name)
    version = old["version"] if old else 0
    if expect_version not in {None, version}:
        raise Failure(f"The segment {name!r} is at version {version}.", Code.CONFLICT)
    body = {
        **{member: value for member, value in (old or {}).items() if member not in READ_ONLY},
        **(_read(file) if file else {}),
        **({} if description is None else {"description": description}),
        "message": message,
        "expected_version": version,
    }
    for member, users in zip(LISTS, (include, exclude), strict=True):
        gone = {*(forget or []), *(include or []), *(exclude or [])}
        kept = [one for one in body.get(member, []) if one not in gone]
        body[member] = [*kept, *dict.fromkeys(users or [])]
    _save(at, name, body, is_new=old is None)


def _read(file: str) -> dict[str, Any]:
    found = files.parse(files.read(file), file)
    if not isinstance(found, dict):
        raise Failure(f"{file} is no segment: it must be an object.", Code.USAGE)
    return {name: value for name, value in found.items() if name not in READ_ONLY}


def _save(at: Here, name: str, body: dict[str, Any], *, is_new: bool) -> None:
    path = SEGMENTS if is_new else f"{SEGMENTS}{path_of(name)}"
    sent = {"name": name, **body} if is_new else body
    done = at.api.call("POST" if is_new else "PUT", path, body=sent).body
    numbers = f"version {done['version']}, revision {done['revision']}"
    at.done(f"{'New: s' if is_new else 'S'}egment {name}: {numbers}.", done)


def delete(ctx: Context, name: Name) -> None:
    """Delete a segment that no rule names."""
    at = here(ctx)
    at.api.call("DELETE", f"{SEGMENTS}{path_of(name)}")
    at.done(f"Segment {name} is deleted.", {"name": name})
