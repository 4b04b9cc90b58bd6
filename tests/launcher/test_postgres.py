import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psycopg2
import pytest

from app.launcher import postgres
from app.launcher.pg_user import account_for, identity
from app.launcher.postgres import EmbeddedPostgresError, dsn_file, embedded_postgres

REPOSITORY = Path(__file__).parents[2]
LAUNCHER = """
import os, signal, sys
from pathlib import Path
from app.launcher.postgres import embedded_postgres
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell has it ignored
try:
    with embedded_postgres(Path(sys.argv[1]), say=print) as dsn:
        print(dsn, flush=True)
        if sys.argv[2:] == ["fork"]:
            if os.fork() == 0:
                sys.exit()
            os.wait()
            print("child left", flush=True)
        sys.stdin.read()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")


def silence(text):
    raise AssertionError(text)


@pytest.fixture
def place():
    """Give a directory that every user may enter, and leave no process of it behind."""
    path = Path(tempfile.mkdtemp(prefix="cs-")).resolve()
    path.chmod(0o755)
    yield path
    for file in path.rglob("postmaster.pid"):
        kill_postmaster(file.parent, signal.SIGQUIT)
    shutil.rmtree(path)


@pytest.fixture
def data_dir(place):
    return place / "data"


@pytest.fixture
def launch():
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, *map(str, arguments)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def pgdata(data_dir):
    return data_dir / "postgres" / "pgdata"


def postmaster_pid(data_dir):
    return int((pgdata(data_dir) / "postmaster.pid").read_text().splitlines()[0])


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def children(pid):
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, check=True)
    pairs = [map(int, line.split()) for line in listed.stdout.splitlines()]
    return [child for child, parent in pairs if parent == pid]


def kill_postmaster(directory, number):
    pid = int((directory / "postmaster.pid").read_text().splitlines()[0])
    if os.fsencode(directory) in command_line(pid):
        os.kill(pid, number)
        gone(pid)


def gone(pid):
    while command_line(pid):
        time.sleep(0.02)
    return True


def run(dsn, statement, *values):
    connection = psycopg2.connect(dsn)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else None
    finally:
        connection.close()


def crash(launch, data_dir):
    """Leave what a power cut leaves: rows committed, nothing shut down."""
    owner = launch(data_dir)
    run(owner.stdout.readline(), "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")
    owner.kill()
    owner.wait()
    kill_postmaster(pgdata(data_dir), signal.SIGKILL)


def modes(path):
    return {p: (p.stat().st_mode, p.stat().st_uid) for p in (path, *path.parents)}


def test_fresh_start_answers_queries(data_dir):
    with embedded_postgres(data_dir, say=silence) as dsn:
        assert run(dsn, "SELECT current_database(), current_user") == [("configsync",) * 2]
        assert run(dsn, "SELECT 'ä' < 'b', upper('ä'), '2020-01-01'::timestamptz::text") == [
            (False, "Ä", "2020-01-01 00:00:00+00")
        ]
        assert run(dsn, "SELECT extname FROM pg_extension") == [("plpgsql",)]
        assert dsn_file(data_dir).read_text().strip() == dsn
        assert run(dsn, "SHOW listen_addresses") == [("",)]


def test_settings_are_safe(data_dir):
    with embedded_postgres(data_dir, say=silence) as dsn:
        found = dict(run(dsn, "SELECT name, setting FROM pg_settings"))
    assert {name: found[name] for name in ("fsync", "synchronous_commit", "full_page_writes")} == {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
    }
    assert found["TimeZone"] == "UTC"
    assert found["jit"] == "off"
    assert found["max_connections"] == "200"
    assert found["data_checksums"] == "on"


def test_second_start_keeps_rows(data_dir):
    with embedded_postgres(data_dir, say=silence) as first:
        run(first, "CREATE TABLE t (n integer)")
        run(first, "INSERT INTO t VALUES (7)")
        pid = postmaster_pid(data_dir)
    assert command_line(pid) == b""
    with embedded_postgres(data_dir, say=silence) as second:
        assert second == first
        assert run(second, "SELECT n FROM t") == [(7,)]
        assert postmaster_pid(data_dir) != pid


def test_odd_characters_in_the_path(place):
    data_dir = place / 'a b%20"+ü'
    with embedded_postgres(data_dir, say=silence) as dsn:
        assert run(dsn, "SHOW listen_addresses") == [("",)]


def test_everything_is_private_and_nothing_else_is_touched(data_dir, place):
    data_dir.mkdir(mode=0o755)
    before = modes(data_dir)
    with embedded_postgres(data_dir, say=silence):
        assert modes(data_dir) == before
        base = data_dir / "postgres"
        owner = account_for(data_dir)
        uid = owner.uid if owner else os.geteuid()
        for path in (base, *base.rglob("*")):
            found = path.lstat()
            allowed = (
                0o700 if stat.S_ISDIR(found.st_mode) or stat.S_ISSOCK(found.st_mode) else 0o600
            )
            assert stat.S_IMODE(found.st_mode) == allowed, path
            assert found.st_uid == uid, path
        assert stat.S_ISSOCK((base / "run" / ".s.PGSQL.5432").stat().st_mode)
    assert [p.name for p in data_dir.iterdir()] == ["postgres"]
    assert [p.name for p in place.iterdir()] == ["data"]


@pytest.mark.parametrize("name", ["x" * 100, "a,b"])
def test_path_that_does_for_no_socket_uses_tcp(place, name):
    before = set(Path("/tmp").glob(".s.PGSQL*"))
    with embedded_postgres(place / name, say=silence) as dsn:
        assert "@127.0.0.1:" in dsn
        assert run(dsn, "SHOW listen_addresses") == [("127.0.0.1",)]
        assert run(dsn, "SHOW unix_socket_directories") == [("",)]
        assert set(Path("/tmp").glob(".s.PGSQL*")) == before


def test_longest_socket_path(place):
    room = postgres.LONGEST_SOCKET_PATH - len(f"{place}//postgres/run/.s.PGSQL.5432")
    with embedded_postgres(place / ("x" * room), say=silence) as dsn:
        assert run(dsn, "SHOW listen_addresses") == [("",)]
    with embedded_postgres(place / ("x" * (room + 1)), say=silence) as dsn:
        assert "@127.0.0.1:" in dsn


@pytest.mark.parametrize("name", ["data", "x" * 100])
def test_killed_owners_postgres_is_found_and_owned(place, launch, name):
    data_dir = place / name
    owner = launch(data_dir)
    dsn = owner.stdout.readline().strip()
    pid = postmaster_pid(data_dir)
    owner.kill()
    owner.wait()
    assert run(dsn, "SELECT 1") == [(1,)]
    with embedded_postgres(data_dir, say=silence) as again:
        assert again == dsn
        assert postmaster_pid(data_dir) == pid
    assert command_line(pid) == b""


def test_second_process_uses_it_and_does_not_stop_it(data_dir, launch):
    with embedded_postgres(data_dir, say=silence) as dsn:
        pid = postmaster_pid(data_dir)
        other = launch(data_dir)
        assert other.stdout.readline().strip() == dsn
        other.communicate()
        assert other.returncode == 0
        with embedded_postgres(data_dir, say=silence) as third:
            assert third == dsn
        assert run(dsn, "SELECT 1") == [(1,)]
        assert postmaster_pid(data_dir) == pid


def test_simultaneous_first_starts_share_one(data_dir, launch):
    several = [launch(data_dir) for _ in range(3)]
    assert len({process.stdout.readline() for process in several}) == 1


def test_forked_child_does_not_stop_it(data_dir, launch):
    owner = launch(data_dir, "fork")
    dsn = owner.stdout.readline().strip()
    assert owner.stdout.readline().strip() == "child left"
    assert run(dsn, "SELECT 1") == [(1,)]
    pid = postmaster_pid(data_dir)
    owner.communicate()
    assert command_line(pid) == b""


def test_interrupt_from_the_terminal_stops_it_cleanly(data_dir, launch):
    owner = launch(data_dir)
    dsn = owner.stdout.readline().strip()
    pid = postmaster_pid(data_dir)
    assert os.getpgid(pid) != os.getpgid(owner.pid)
    client = psycopg2.connect(dsn)
    os.killpg(owner.pid, signal.SIGINT)
    assert owner.communicate()[0].strip() == "interrupted"
    client.close()
    assert command_line(pid) == b""
    assert not (pgdata(data_dir) / "postmaster.pid").exists()
    with embedded_postgres(data_dir, say=silence):
        pass
    log = (data_dir / "postgres" / "log").read_text()
    assert "not properly shut down" not in log


def test_recovers_after_a_crash(data_dir, launch):
    crash(launch, data_dir)
    assert (pgdata(data_dir) / "postmaster.pid").exists()
    said = []
    with embedded_postgres(data_dir, say=said.append) as dsn:
        assert run(dsn, "SELECT count(*) FROM t") == [(1000,)]


def test_waits_for_the_children_of_a_killed_postmaster(data_dir, launch):
    owner = launch(data_dir)
    owner.stdout.readline()
    owner.kill()
    owner.wait()
    lingering = children(postmaster_pid(data_dir))[0]
    os.kill(lingering, signal.SIGSTOP)
    try:
        kill_postmaster(pgdata(data_dir), signal.SIGKILL)
        heir = launch(data_dir)
        log = data_dir / "postgres" / "log"
        while "shared memory block" not in log.read_text():
            assert heir.poll() is None
            time.sleep(0.02)
    finally:
        os.kill(lingering, signal.SIGCONT)
    lines = iter(heir.stdout.readline, "")
    dsn = next(line for line in lines if line.startswith("postgresql:"))
    assert run(dsn, "SELECT 1") == [(1,)]


def test_another_program_with_the_old_pid_is_left_alone(data_dir, launch):
    crash(launch, data_dir)
    with subprocess.Popen(["sleep", "infinity"], **identity(account_for(data_dir))) as sleeper:
        try:
            file = pgdata(data_dir) / "postmaster.pid"
            _, rest = file.read_text().split("\n", 1)
            file.write_text(f"{sleeper.pid}\n{rest}")
            said = []
            with embedded_postgres(data_dir, say=said.append) as dsn:
                assert run(dsn, "SELECT count(*) FROM t") == [(1000,)]
            assert sleeper.poll() is None
        finally:
            sleeper.kill()


def test_server_started_by_hand_is_neither_used_nor_harmed(data_dir):
    with embedded_postgres(data_dir, say=silence):
        pass
    directory = pgdata(data_dir)
    options = ["-D", directory, "-k", data_dir / "postgres" / "run", "-h", ""]
    by_hand = subprocess.Popen(
        [postgres.binary("postgres"), *options],
        stderr=subprocess.DEVNULL,
        **identity(account_for(data_dir)),
    )
    try:
        file = directory / "postmaster.pid"
        while not file.exists() or "ready" not in file.read_text():
            assert by_hand.poll() is None
            time.sleep(0.02)
        before = file.read_text()
        with (
            pytest.raises(EmbeddedPostgresError, match=f"Process {by_hand.pid}"),
            ExitStack() as stack,
        ):
            stack.enter_context(embedded_postgres(data_dir, say=silence))
        assert file.read_text() == before
        assert by_hand.poll() is None
    finally:
        by_hand.send_signal(signal.SIGINT)
        by_hand.wait()


def refusal(data_dir, **options):
    with pytest.raises(EmbeddedPostgresError) as error, ExitStack() as stack:
        stack.enter_context(embedded_postgres(data_dir, say=silence, **options))
    return str(error.value)


def test_other_major_version_is_refused(data_dir):
    pgdata(data_dir).mkdir(parents=True)
    (pgdata(data_dir) / "PG_VERSION").write_text("16\n")
    message = refusal(data_dir)
    assert "PostgreSQL 16" in message
    assert "PostgreSQL 18" in message
    assert "pg_dump" in message
    assert [p.name for p in pgdata(data_dir).iterdir()] == ["PG_VERSION"]


def test_foreign_directory_is_refused(data_dir):
    pgdata(data_dir).mkdir(parents=True)
    (pgdata(data_dir) / "holiday.jpg").touch()
    assert "move it away" in refusal(data_dir)


def test_password_is_required(data_dir):
    with embedded_postgres(data_dir, say=silence) as dsn:
        password = (data_dir / "postgres" / "password").read_text().strip()
        assert password in dsn
        for wrong in (":wrong", ""):
            with pytest.raises(psycopg2.OperationalError):
                psycopg2.connect(dsn.replace(f":{password}", wrong))


def test_lost_or_wrong_password_file_is_said(data_dir):
    with embedded_postgres(data_dir, say=silence):
        pass
    (data_dir / "postgres" / "password").write_text("wrong\n")
    assert "refuses the password" in refusal(data_dir)
    (data_dir / "postgres" / "password").unlink()
    assert "restore" in refusal(data_dir)


def test_failing_start_quotes_the_reason(data_dir):
    with embedded_postgres(data_dir, say=silence):
        pass
    with (pgdata(data_dir) / "postgresql.conf").open("a") as file:
        file.write("nonsense = 1\n")
    message = refusal(data_dir)
    assert "did not start" in message
    assert "errors" in message


def test_unusable_data_dir_is_a_sentence(place):
    (place / "file").touch()
    assert "not a directory" in refusal(place / "file")
    (place / "data").mkdir()
    (place / "data" / "postgres").touch()
    assert "cannot be used" in refusal(place / "data")


def test_half_made_data_are_made_again(data_dir):
    fresh = data_dir / "postgres" / "pgdata.new"
    fresh.mkdir(parents=True)
    (fresh / "PG_VERSION").write_text("18\n")
    with embedded_postgres(data_dir, say=silence) as dsn:
        assert run(dsn, "SELECT 1") == [(1,)]
    assert not fresh.exists()


def test_log_tells_no_values_and_is_cut_when_long(data_dir):
    log = data_dir / "postgres" / "log"
    with embedded_postgres(data_dir, say=silence) as dsn:
        run(dsn, "CREATE TABLE t (s text PRIMARY KEY, n integer NOT NULL)")
        run(dsn, "INSERT INTO t VALUES (%s, 1)", "hunter2")
        for statement in ("INSERT INTO t VALUES (%s, 2)", "INSERT INTO t VALUES (%s, NULL)"):
            with pytest.raises(psycopg2.IntegrityError):
                run(dsn, statement, "hunter2")
    assert "duplicate key" in log.read_text()
    assert "hunter2" not in log.read_text()
    with log.open("a") as file:
        file.truncate(postgres.LARGEST_LOG + 1)
    with embedded_postgres(data_dir, say=silence):
        assert log.stat().st_size < 10_000


def test_symbolic_link_in_place_of_a_file_is_refused(data_dir, place):
    with embedded_postgres(data_dir, say=silence):
        pass
    precious = place / "precious"
    precious.write_text("mine")
    log = data_dir / "postgres" / "log"
    log.unlink()
    log.symlink_to(precious)
    before = precious.stat()
    assert "cannot be used" in refusal(data_dir)
    assert (precious.stat().st_uid, precious.stat().st_mode) == (before.st_uid, before.st_mode)
    assert precious.read_text() == "mine"


@as_root
def test_unreachable_data_dir_falls_back_aloud(place):
    hidden = place / "hidden"
    hidden.mkdir(mode=0o700)
    fallback = place / "var" / "configsync"
    said = []
    with embedded_postgres(hidden / "data", say=said.append, fallback=fallback) as dsn:
        assert run(dsn, "SELECT 1") == [(1,)]
        assert dsn_file(hidden / "data", fallback=fallback).parent.parent == fallback
    assert len(said) == 1
    assert str(hidden / "data") in said[0]
    assert str(fallback) in said[0]
    assert stat.S_IMODE(hidden.stat().st_mode) == 0o700
    assert list(hidden.iterdir()) == []


@as_root
def test_data_that_became_unreachable_are_not_forgotten(place):
    open_house = place / "house"
    with embedded_postgres(open_house / "data", say=silence):
        pass
    open_house.chmod(0o700)
    message = refusal(open_house / "data", fallback=place / "other")
    assert "chmod o+x" in message
    assert not (place / "other").exists()


@as_root
def test_programs_out_of_reach_are_copied_once(place, monkeypatch):
    package = postgres.binary("postgres").parents[2]
    hidden = place / "hidden"
    hidden.mkdir(mode=0o700)
    for source in (package, package.with_name(f"{package.name}.libs")):
        (hidden / source.name).symlink_to(source)
    monkeypatch.syspath_prepend(str(hidden))
    data_dir = place / "data"
    inodes = set()
    for _ in range(2):
        with embedded_postgres(data_dir, say=silence):
            program = command_line(postmaster_pid(data_dir)).split(b"\0")[0]
            assert program.startswith(os.fsencode(data_dir / "postgres" / "programs-"))
            inodes.add(Path(os.fsdecode(program)).stat().st_ino)
    assert len(inodes) == 1


@as_root
def test_owner_of_the_data_runs_it(place):
    data_dir = place / "data"
    data_dir.mkdir()
    nobody = pwd.getpwnam("nobody")
    os.chown(data_dir, nobody.pw_uid, nobody.pw_gid)
    with embedded_postgres(data_dir, say=silence):
        assert Path(f"/proc/{postmaster_pid(data_dir)}").stat().st_uid == nobody.pw_uid
    os.chown(data_dir, 0, 0)
    with embedded_postgres(data_dir, say=silence):
        assert Path(f"/proc/{postmaster_pid(data_dir)}").stat().st_uid == nobody.pw_uid


@as_root
def test_data_unpacked_by_root_are_given_to_the_user(data_dir):
    with embedded_postgres(data_dir, say=silence):
        pass
    subprocess.run(["chown", "-R", "0:0", data_dir], check=True)
    with embedded_postgres(data_dir, say=silence) as dsn:
        assert run(dsn, "SELECT 1") == [(1,)]
