"""The commands, by name. The module of a command is imported when it is called."""

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from configsync import __version__
from configsync._errors import ConfigSyncError
from configsync.cli import failures, output
from configsync.cli.context import Here

Places = Mapping[str, "str | Places"]

COMMANDS: Places = {
    "login": "session:login",
    "logout": "session:logout",
    "whoami": "session:whoami",
    "profiles": {
        "list": "session:profiles_list",
        "use": "session:profiles_use",
        "set": "session:profiles_set",
        "remove": "session:profiles_remove",
    },
    "get": "values:get",
    "set": "values:set_",
    "unset": "values:unset",
    "edit": "editing:edit",
    "list": "values:list_",
    "search": "values:search",
    "explain": "values:explain",
    "diff": "history:diff",
    "history": "history:history",
    "rollback": "history:rollback",
    "watch": "watching:watch",
    "apply": "changes:apply",
    "flags": {
        "list": "flags:list_",
        "get": "flags:get",
        "set": "flag_setting:set_",
        "on": "flags:on",
        "off": "flags:off",
        "eval": "evaluating:eval_",
        "explain": "evaluating:explain",
        "history": "flag_life:history",
        "diff": "flag_life:diff",
        "rollback": "flag_life:rollback",
        "stale": "flag_life:stale",
        "delete": "flags:delete",
    },
    "segments": {
        "list": "segments:list_",
        "get": "segments:get",
        "set": "segments:set_",
        "delete": "segments:delete",
    },
    "export": "exporting:export",
    "run": "run:run",
    "envs": {
        "list": "admin:envs_list",
        "create": "admin:envs_create",
        "delete": "admin:envs_delete",
    },
    "keys": {
        "list": "admin:keys_list",
        "create": "admin:keys_create",
        "rotate": "admin:keys_rotate",
        "revoke": "admin:keys_revoke",
    },
    "workspaces": {
        "list": "admin:workspaces_list",
        "create": "admin:workspaces_create",
        "members": "admin:workspaces_members",
    },
    "status": "admin:status",
    "doctor": "doctor:doctor",
}
GROUPS = {
    "profiles": "The servers that are known.",
    "flags": "Feature flags: who gets what, and why.",
    "segments": "Segments: who is meant, under a name for the rules of all flags.",
    "envs": "The environments of the workspace.",
    "keys": "The API keys of the workspace.",
    "workspaces": "Workspaces and who belongs to them.",
}
FOR_ALL = ("profile", "url", "workspace", "as_json", "no_color")
VERBATIM = {"run"}
"""Commands whose words after the first are another program's."""


class _Light:
    """Takes texts as they are; for everything else typer imports pydantic, which takes 0.3 s."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return what a parameter's value is in its type."""
        kind = param.type_descriptor.annotation
        if kind == list[str]:
            return list(value or ())
        is_one = param.nargs == 1 and not param.multiple
        is_text = isinstance(value, str) and kind is str
        if is_one and (value is None or is_text):
            return value
        param._runtime_param = None  # noqa: SLF001  (typer makes its own then)
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)


def _lightened(params: list[Any]) -> list[Any]:
    for param in params:
        if getattr(param, "_runtime_param", param) is None:
            param._runtime_param = _Light()  # noqa: SLF001  (the one place where typer lets us)
    return params


class Command(TyperCommand):
    """A command that takes the options for all commands, too."""

    def get_params(self, ctx: Any) -> Any:
        """Return the parameters."""
        return _lightened(super().get_params(ctx))

    def invoke(self, ctx: Any) -> Any:
        """Run it, with what those options say."""
        note(ctx, **{name: ctx.params.pop(name) for name in FOR_ALL})
        return super().invoke(ctx)


class Group(TyperGroup):
    """Commands that are imported when they are called."""

    places: Places = COMMANDS
    options: tuple[Any, ...] = ()

    def get_params(self, ctx: Any) -> Any:
        """Return the parameters."""
        return _lightened(super().get_params(ctx))

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Return the names."""
        return list(self.places)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """Return a command, imported now."""
        place = self.places.get(cmd_name)
        options = self.options or tuple(one for one in self.params if one.name in FOR_ALL)
        if place is None or cmd_name in self.commands:
            return self.commands.get(cmd_name)
        if isinstance(place, str):
            made: Any = _command(cmd_name, place)
            made.params += options
        else:
            made = Group(name=cmd_name, help=GROUPS[cmd_name], no_args_is_help=True)
            made.rich_markup_mode, made.places, made.options = None, place, options
        self.commands[cmd_name] = made
        return made


def _command(name: str, place: str) -> Any:
    module, _, function = place.partition(":")
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    settings: dict[str, Any] = {"help_option_names": ["-h", "--help"]}
    if name in VERBATIM:
        settings["allow_interspersed_args"] = False
    found = getattr(import_module(f"configsync.cli.{module}"), function)
    single.command(name, cls=Command, context_settings=settings)(found)
    return typer.main.get_command(single)


def note(ctx: Any, *, no_color: bool, as_json: bool, **given: str | None) -> None:
    """Take over what the options for all commands say, wherever they stand."""
    here = ctx.obj = ctx.find_object(Here) or Here()
    here.color &= not no_color
    here.as_json |= as_json
    for name, value in given.items():
        if value is not None:
            setattr(here, name, value)


def say_version(asked: bool) -> None:
    """Say which version this is, and end."""
    if asked:
        typer.echo(f"configsync {__version__}")
        raise typer.Exit


def options_for_all(
    ctx: typer.Context,
    profile: Annotated[
        str | None, typer.Option(help="The profile, a server that you know.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="The server, instead of the profile's.")] = None,
    workspace: Annotated[str | None, typer.Option(help="The workspace, by its slug.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer with JSON.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="Use no colours.")] = False,
    version: Annotated[  # noqa: ARG001  (its callback ends the command)
        bool, typer.Option("--version", help="Say which version this is.", callback=say_version)
    ] = False,
) -> None:
    """Read and change configuration, see who uses it, and run programs with it."""
    note(ctx, profile=profile, url=url, workspace=workspace, as_json=as_json, no_color=no_color)


def root() -> Any:
    """Return the whole command line."""
    app = typer.Typer(
        name="configsync",
        cls=Group,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(options_for_all)
    return typer.main.get_command(app)


def run() -> None:
    """Run the command that the process was called with."""
    output.open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")
    try:
        root()(prog_name="configsync")
    except ConfigSyncError as error:
        output.say(f"configsync: {failures.line_of(error)}")
        sys.exit(failures.code_of(error))
    except OSError as error:
        output.say(f"configsync: {error.strerror or type(error).__name__}.")
        sys.exit(failures.Code.FAILED)
    except Exception as error:  # noqa: BLE001  (whatever it is: no traceback)
        what = type(error).__name__  # its text may have a value in it
        output.say(f"configsync: something is wrong in this program ({what}).")
        sys.exit(failures.Code.FAILED)
