"""What every command has at hand: where it goes, who asks, and how it answers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import typer

from configsync.cli import credentials, output, profiles
from configsync.cli.api import Api
from configsync.cli.failures import Code, Failure

GLOBAL = "_global"

Context = typer.Context
Service = Annotated[
    str | None, typer.Option("--service", "-s", help="The service; _global reaches every one.")
]
Environment = Annotated[
    str | None,
    typer.Option("--environment", "-e", help="The environment; '' is the level of all of them."),
]
Message = Annotated[str | None, typer.Option("--message", "-m", help="Why, for the history.")]
Expected = Annotated[
    int | None,
    typer.Option("--expect-version", help="Only if it is at this version; 0: not there yet."),
]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show the values of secrets.")]


@dataclass(frozen=True)
class Level:
    """A service in an environment, or in all of them."""

    service: str
    environment: str | None

    def __str__(self) -> str:
        return f"{self.service}@{self.environment}" if self.environment else self.service


@dataclass
class Here:
    """The options that every command takes, and what follows from them."""

    profile: str | None = None
    url: str | None = None
    workspace: str | None = None
    as_json: bool = False
    color: bool = True

    @cached_property
    def target(self) -> profiles.Target:
        """Return where commands go."""
        return profiles.target(profile=self.profile, url=self.url, workspace=self.workspace)

    @cached_property
    def api(self) -> Api:
        """Return the server, as who asks."""
        return self.connect()

    def connect(self) -> Api:
        """Return the server with a connection of its own."""
        token = credentials.token_for(self.target.profile, self.target.url)
        return Api(self.target.url, token=token, workspace=self.target.workspace)

    def environment(self, given: str | None) -> str | None:
        """Return the environment that is meant; an empty one is the level of all."""
        return (self.target.environment if given is None else given) or None

    def level(self, service: str | None, environment: str | None) -> Level:
        """Return the level that is meant, or raise Failure."""
        named = service or self.target.service
        if not named:
            raise Failure("Which service? Say -s NAME, or set CONFIGSYNC_APP_ID.", Code.USAGE)
        return Level(named, self.environment(environment))

    def write(self, text: str, color: str) -> None:
        """Write a line of the result, in a colour where colours are welcome."""
        output.write(text, color if output.is_colorful(wanted=self.color) else None)

    def show(self, document: Any, text: str) -> None:
        """Write the result: the document with --json, else the text."""
        if self.as_json:
            output.write_json(document)
        else:
            output.write(text)

    def done(self, message: str, document: Any) -> None:
        """Say what was done; the result, the document, is for --json alone."""
        output.say(message)
        if self.as_json:
            output.write_json(document)

    def show_table(self, document: Any, columns: Sequence[str], rows: Iterable[Any]) -> None:
        """Write the result: the document with --json, else rows under their headings."""
        if self.as_json:
            output.write_json(document)
        else:
            output.table(columns, rows)


def here(ctx: Context) -> Here:
    """Return what the command has at hand."""
    found: Here = ctx.find_object(Here) or Here()
    return found
