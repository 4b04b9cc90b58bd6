"""`python -m app`: the launcher."""

import argparse
import resource
import sys

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from app import __version__
from app.core.settings import Settings
from app.launcher import commands
from app.launcher.commands import CommandError
from app.launcher.postgres import EmbeddedPostgresError
from app.launcher.store import StoreError

OPEN_FILES = 65_536


def main(words: list[str] | None = None) -> int:
    """Run one command; return the exit status."""
    arguments = parser().parse_args(words)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no plain values in core files
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < OPEN_FILES:  # every stream is one
        most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        arguments.run(arguments)
    except KeyboardInterrupt:
        return 0
    except ValidationError as error:
        for one in error.errors(include_input=False):
            name = "_".join(str(part) for part in one["loc"]).upper()
            commands.say(f"Setting {name}: {one['msg']}" if name else str(one["msg"]))
        return 2
    except (CommandError, EmbeddedPostgresError, StoreError, ValueError, OSError) as error:
        commands.say(str(error))
        return 1
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        commands.say(f"The database cannot be used: {reason}")
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="python -m app",
        description="ConfigSync: versioned configuration, pushed live, audited, reversible.",
        epilog=settings_table(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=__version__)
    actions = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: object, text: str) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=text, description=text)
        action.set_defaults(run=run)
        return action

    add("serve", commands.serve, "run the server (embedded PostgreSQL without DATABASE_URL)")
    add("migrate", commands.migrate_database, "bring the database's schema up to date")
    admin = add("create-admin", commands.create_admin, "create an admin of this server")
    admin.add_argument("--username")
    admin.add_argument("--email")
    worker = add("worker", commands.worker, "run a Celery worker (needs REDIS_URL)")
    worker.add_argument("--concurrency", type=int, default=2)
    add("beat", commands.beat, "run the clock of the workers (needs REDIS_URL)")
    add("secrets", commands.make_secret_files, "make the keys that are missing in DATA_DIR")
    keys = add("keys", commands.keys, "look after the keys that encrypt secrets")
    keys.add_argument(
        "action",
        choices=("status", "rewrap", "rotate"),
        help="status: what there is; rewrap: put data keys under the first ENCRYPTION_KEY; "
        "rotate: also make new data keys and seal every secret anew",
    )
    add("dump", commands.dump, "write the whole store into one file").add_argument("file")
    load = add("load", commands.load, "replace the whole store by a dump, checked before")
    load.add_argument("file")
    load.add_argument("--replace", action="store_true", help="even if the store is in use")
    return top


def settings_table() -> str:
    """Return the settings with their defaults, for --help."""
    lines = ["settings (environment or .env):"]
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = ",".join(default) if isinstance(default, tuple) else default
        lines.append(f"  {name.upper()} ({'none' if shown in (None, '') else shown})")
        lines.append(f"      {field.description}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
