"""`run`: a program with the config as environment variables."""

import os
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from configsync.cli import formats, keys, output
from configsync.cli.api import Api
from configsync.cli.context import Context, Environment, Level, Service, here
from configsync.cli.failures import Code, Failure

NOT_FOUND, NOT_EXECUTABLE = 127, 126


@dataclass(frozen=True)
class Wanted:
    """What makes the variables of the program."""

    level: Level
    prefix: str
    override: bool

    def read(self, api: Api, at_least: int | None = None) -> dict[str, str]:
        """Return the config as variables, without secrets that the caller may not read."""
        answer = keys.fetch(api, self.level, at_least=at_least)
        config, hidden = _without_masked(answer["configs"])
        if hidden:
            names = ", ".join(hidden)
            output.say(f"configsync: left out, for you may not read these secrets: {names}.")
        return formats.variables(config, self.prefix)

    def environment(self, config: dict[str, str]) -> dict[str, str]:
        """Return the whole environment of the program."""
        if self.override:
            return {**os.environ, **config}
        kept = [name for name, text in config.items() if os.environ.get(name, text) != text]
        if kept:
            output.say(f"configsync: kept as they are set here: {', '.join(kept)}.")
        return {**config, **os.environ}


def run(
    ctx: Context,
    command: Annotated[list[str], typer.Argument(help="The program and its arguments, after --.")],
    service: Service = None,
    environment: Environment = None,
    prefix: Annotated[str, typer.Option(help="What all names begin with.")] = "",
    override: Annotated[
        bool, typer.Option("--override", help="The config wins over variables that are set.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Restart the program when its config changes.")
    ] = False,
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds between SIGTERM and SIGKILL, with --watch.")
    ] = 10.0,
) -> None:
    """Run a program with the effective config as environment variables."""
    if not command[0]:
        raise Failure("There is no program named ''. Say: configsync run -- PROGRAM", Code.USAGE)
    at = here(ctx)
    wanted = Wanted(at.level(service, environment), prefix, override)
    config = wanted.read(at.api)
    try:
        if watch:
            from configsync.cli.supervising import Supervisor  # noqa: PLC0415  (only here)

            sys.exit(Supervisor(at, wanted, command, grace).run(config))
        at.api.close()
        os.execvpe(command[0], command, wanted.environment(config))  # noqa: S606  (its purpose)
    except ValueError as error:
        raise Failure(
            f"Cannot run {command[0]}: a variable has a character in it that none can have."
        ) from error
    except OSError as error:
        output.say(f"configsync: cannot run {command[0]}: {error.strerror}.")
        sys.exit(NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE)


def _without_masked(config: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a config by address without what has bullets, and the addresses of that."""
    found = dict(formats.leaves(config))
    hidden = [address for address, value in found.items() if _has_bullets(value)]
    return {one: value for one, value in found.items() if one not in hidden}, hidden


def _has_bullets(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_bullets, value.values()))
    return any(map(_has_bullets, value)) if isinstance(value, list) else value == output.BULLETS
