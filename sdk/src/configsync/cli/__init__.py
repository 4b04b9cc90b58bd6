"""The command line, `configsync`. Its parts are imported when used, so that it starts fast."""

import sys


def main() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        from configsync.cli.app import run  # noqa: PLC0415  (so that Ctrl-C while importing is quiet)

        run()
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        if error.name != "typer":
            raise
        sys.exit("configsync: the command line needs more packages: pip install 'configsync[cli]'")
