"""`login`, `logout`, `whoami`, profiles, and where credentials are kept."""

import json
import stat

import pexpect
import pytest

from tests.cli.prompt import KEY, Cli
from tests.client import PASSWORD
from tests.processes import REPOSITORY

KEYRING = """
import json, os
from pathlib import Path
from keyring.backend import KeyringBackend

class Ring(KeyringBackend):
    priority = 9
    file = Path(os.environ["RING"])
    def _all(self):
        return json.loads(self.file.read_text()) if self.file.exists() else {}
    def get_password(self, service, username):
        return self._all().get(f"{service} {username}")
    def set_password(self, service, username, password):
        self.file.write_text(json.dumps({**self._all(), f"{service} {username}": password}))
    def delete_password(self, service, username):
        left = self._all()
        del left[f"{service} {username}"]
        self.file.write_text(json.dumps(left))
"""


@pytest.fixture
def nobody(cli: Cli) -> Cli:
    cli.env["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
    return cli.anonymous()


def credentials(cli: Cli):
    return cli.home / ".config/configsync/credentials.json"


def test_a_password_is_asked_for_and_never_shown(nobody: Cli, ada):
    terminal = nobody.terminal("login", nobody.url)
    terminal.expect("User name")
    terminal.sendline(ada)
    terminal.expect("Password: ")
    terminal.sendline(PASSWORD)
    terminal.expect(pexpect.EOF)
    assert "Logged in to " in terminal.before
    assert PASSWORD not in terminal.before
    me = nobody("whoami", "--json").ok().json
    assert (me["kind"], me["username"], me["url"]) == ("user", ada, nobody.url)


def test_logout_ends_the_session_on_the_server_too(nobody: Cli, ada):
    nobody("login", nobody.url, "-u", ada, text=f"{PASSWORD}\n").ok()
    kept = json.loads(credentials(nobody).read_text())["default"]["token"]
    nobody("logout").ok()
    assert kept not in credentials(nobody).read_text()
    line = nobody("whoami").failed(4)
    assert "configsync login" in line
    assert "login" in nobody("whoami", CONFIGSYNC_API_KEY=kept).failed(4)


def test_a_wrong_password_is_exit_code_4_and_keeps_nothing(nobody: Cli, ada):
    line = nobody("login", nobody.url, "-u", ada, text="wrong password\n").failed(4)
    assert "wrong password" not in line
    assert "configsync login" not in line
    assert not credentials(nobody).exists()


def test_a_key_is_read_from_standard_input_and_kept_for_its_owner_alone(nobody: Cli, service):
    said = nobody("login", nobody.url, text=f"{KEY}\n").ok()
    assert KEY not in said.out + said.err
    assert stat.S_IMODE(credentials(nobody).stat().st_mode) == 0o600
    nobody("set", "key", "1", "-s", service).ok()
    assert nobody("whoami", "--json").ok().json["kind"] == "api_key"


def test_a_wrong_key_is_refused_at_once(nobody: Cli):
    line = nobody("login", nobody.url, text="cs_00000000_wrong\n").failed(4)
    assert "configsync login" not in line
    assert "is missing" in nobody("login", nobody.url, text="").failed(2)


def test_a_credential_goes_to_its_own_server_only(nobody: Cli, service):
    nobody("login", nobody.url, text=f"{KEY}\n").ok()
    elsewhere = nobody.url.replace("127.0.0.1", "localhost")
    line = nobody("get", "-s", service, "--url", elsewhere).failed(4)
    assert "configsync login" in line


def test_a_file_that_others_can_read_is_refused(nobody: Cli, service):
    nobody("login", nobody.url, text=f"{KEY}\n").ok()
    credentials(nobody).chmod(0o644)
    assert "chmod 600" in nobody("get", "-s", service).failed(4)


def test_a_damaged_file_says_what_to_do(nobody: Cli):
    nobody("login", nobody.url, text=f"{KEY}\n").ok()
    credentials(nobody).write_text("{")
    assert "is damaged" in nobody("whoami").failed(1)


def test_the_keyring_is_used_where_there_is_one(nobody: Cli, tmp_path):
    (tmp_path / "ring_for_tests.py").write_text(KEYRING)
    nobody.env |= {
        "PYTHON_KEYRING_BACKEND": "ring_for_tests.Ring",
        "PYTHONPATH": f"{REPOSITORY / 'sdk' / 'src'}:{tmp_path}",
        "RING": str(tmp_path / "ring"),
    }
    assert "the keyring" in nobody("login", nobody.url, text=f"{KEY}\n").ok().err
    assert KEY not in credentials(nobody).read_text()
    assert KEY in (tmp_path / "ring").read_text()
    nobody("whoami").ok()
    nobody("logout").ok()
    assert KEY not in (tmp_path / "ring").read_text()
    nobody("whoami").failed(4)


def test_profiles_are_several_servers(nobody: Cli, ada, service):
    nobody("login", f"{nobody.url}/api/v1/", "--profile", "root", text=f"{KEY}\n").ok()
    nobody("login", nobody.url, "--profile", "mine", "-u", ada, text=f"{PASSWORD}\n").ok()
    nobody("profiles", "set", "root", "-s", service, "-e", "staging").ok()
    listed = nobody("profiles", "list", "--json").ok().json["profiles"]
    assert [(one["name"], one["current"]) for one in listed] == [("mine", True), ("root", False)]
    nobody("set", "key", "1", "--profile", "root").ok()
    assert nobody("get", "key", "--profile", "root").ok().out == "1\n"
    nobody("profiles", "use", "root").ok()
    assert nobody("get", "key").ok().out == "1\n"
    assert nobody("get", "key", CONFIGSYNC_APP_ID="other").code == 3
    nobody("profiles", "remove", "mine").ok()
    assert "no profile" in nobody("whoami", "--profile", "mine").failed(3)
    assert "mine" not in credentials(nobody).read_text()


def test_nobody_is_told_to_log_in(nobody: Cli):
    assert "configsync login URL" in nobody("get", "key").failed(4)
    assert "configsync login URL" in nobody("whoami").failed(4)
    assert "cannot be used" in nobody("login", "ftp://example.com").failed(2)


def test_logging_out_twice_says_so(nobody: Cli):
    assert "Nobody was logged in" in nobody("logout").ok().err


def test_a_credential_that_is_none_is_never_repeated(nobody: Cli):
    for key in ("cs_1234_line\nX-Other: 1", "cs_1234_ünicode"):
        ours = {"CONFIGSYNC_API_KEY": key, "CONFIGSYNC_URL": nobody.url}
        line = nobody("whoami", **ours).failed(4)
        assert "cs_1234" not in line
        assert "CONFIGSYNC_API_KEY" in line


def test_which_server_to_log_in_to(nobody: Cli):
    assert "Which server?" in nobody("login", text=f"{KEY}\n").failed(2)
    nobody("login", CONFIGSYNC_URL=nobody.url, text=f"{KEY}\n").ok()
    assert nobody("login", text=f"{KEY}\n").ok().err.startswith(f"Logged in to {nobody.url} ")
