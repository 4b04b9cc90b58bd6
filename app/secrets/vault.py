"""KEKs that never leave Vault: its Transit engine wraps and unwraps the data keys."""

import base64
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import hvac
from hvac.adapters import JSONAdapter
from hvac.api.secrets_engines import Transit
from hvac.exceptions import InvalidPath, InvalidRequest, VaultError
from urllib3 import Timeout

from app.core.settings import Settings
from app.secrets.providers import ProviderUnavailable, Wrapped, WrongKey

TIMEOUT_S = 2.0  # to connect and until something is heard, together; then for each silence
LATEST_S = 30.0  # how long the newest version of the key is believed
FOREIGN = "Vault's answer is not one of Transit's"
CIPHERTEXT = re.compile(r"vault:v([1-9][0-9]*):.+")

T = TypeVar("T")

# hvac passes on what requests raises (OSError, ValueError), and trips over the JSON of a proxy
# that answers in Vault's place (TypeError, AttributeError).
FAULTS = (VaultError, OSError, ValueError, TypeError, AttributeError)


class VaultTransit:
    """A key in Vault's Transit engine (1.13 or newer, a key type with associated data).

    The token needs `update` on `<mount>/encrypt/<key>` and `<mount>/decrypt/<key>`, and `read` on
    `<mount>/keys/<key>`. One instance serves all threads of one process. No exception of this
    class quotes what Vault or the HTTP library said: that may contain the token.
    """

    def __init__(self, *, addr: str, token: Callable[[], str], key: str, mount: str) -> None:
        if not addr.startswith(("http://", "https://")):
            raise ValueError("VAULT_ADDR must be an http:// or https:// URL")
        self._token, self._key, self._mount = token, key, mount.strip("/")
        self._prefix = f"vault:{self._mount}/{key}:v"
        self._latest = (0, 0.0)
        # An empty token keeps hvac from looking for one in the environment and in $HOME.
        # Redirects and proxies are refused because the token would go with them.
        self._client = hvac.Client(
            url=addr,
            token="",
            timeout=Timeout(total=TIMEOUT_S),
            allow_redirects=False,
            proxies={"http": None, "https": None, "all": None},
        )

    def active_id(self) -> str:
        """Return the id of the key's newest version, up to 30 s old; raise ProviderUnavailable."""
        version, until = self._latest
        if time.monotonic() >= until:
            version = _field(self._ask(Transit.read_key), "latest_version", int)
            self._remember(version)
        return f"{self._prefix}{version}"

    def knows(self, kek_id: str) -> bool:
        """Say whether an id names any version of this key."""
        version = kek_id.removeprefix(self._prefix)
        return version != kek_id and version.isdecimal()

    def wrap(self, key: bytes, context: bytes) -> Wrapped:
        """Encrypt under the newest version; raise ProviderUnavailable."""
        answer = self._ask(
            Transit.encrypt_data, plaintext=_base64(key), associated_data=_base64(context)
        )
        text = _field(answer, "ciphertext", str)
        version = CIPHERTEXT.fullmatch(text)
        if version is None:
            raise ProviderUnavailable(FOREIGN)
        # An old Vault encrypts all the same, but under no context, and says so only here.
        if "associated_data" in str(answer.get("warnings")):
            raise ProviderUnavailable("This Vault ignores associated_data: 1.13 or newer is needed")
        self._remember(int(version[1]))
        return Wrapped(f"{self._prefix}{version[1]}", text.encode())

    def unwrap(self, wrapped: Wrapped, context: bytes) -> bytes:
        """Decrypt under the version that the ciphertext names; raise as the protocol says."""
        if not self.knows(wrapped.kek_id):
            raise WrongKey("The data key was not wrapped by this key of Vault")
        answer = self._ask(
            Transit.decrypt_data,
            refused=WrongKey,
            ciphertext=wrapped.data.decode("ascii", "replace"),
            associated_data=_base64(context),
        )
        try:
            return base64.b64decode(_field(answer, "plaintext", str), validate=True)
        except ValueError:
            raise ProviderUnavailable(FOREIGN) from None

    def close(self) -> None:
        """Close the connections to Vault; the next call opens new ones."""
        self._client.adapter.close()

    def _ask(
        self,
        call: Callable[..., Any],
        *,
        refused: type[Exception] = ProviderUnavailable,
        **arguments: str,
    ) -> Any:
        """Call Transit with the token of this moment; `refused` is what 400 and 404 raise."""
        # A renewed token must not meet another thread's request: each has its own adapter
        # around the one session.
        adapter = JSONAdapter.from_adapter(self._client.adapter)
        adapter.token = self._token()
        try:
            return call(Transit(adapter), self._key, mount_point=self._mount, **arguments)
        except FAULTS as error:
            raise _outcome(error, refused) from None

    def _remember(self, version: int) -> None:
        self._latest = (version, time.monotonic() + LATEST_S)


class TokenFile:
    """A token in a file, as Vault Agent renews it: read anew whenever the file has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: tuple[tuple[int, ...], str] = ((), "")

    def __call__(self) -> str:
        """Return the token; raise ProviderUnavailable while the file has none."""
        try:
            return self._read()
        except OSError as error:
            raise ProviderUnavailable(f"VAULT_TOKEN_FILE: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ProviderUnavailable("VAULT_TOKEN_FILE does not hold text") from None

    def _read(self) -> str:
        status = self._path.stat()
        stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
        known, token = self._known
        if stamp != known:
            token = self._path.read_text().strip()
            if not token:
                raise ProviderUnavailable("VAULT_TOKEN_FILE is empty")
            self._known = (stamp, token)
        return token


def from_settings(settings: Settings) -> VaultTransit:
    """Return the provider that the settings describe; raise ValueError."""
    if not settings.vault_addr:
        raise ValueError("VAULT_ADDR is not set")
    return VaultTransit(
        addr=settings.vault_addr,
        token=_token_source(settings),
        key=settings.vault_transit_key,
        mount=settings.vault_transit_mount,
    )


def _token_source(settings: Settings) -> Callable[[], str]:
    """Return what gives the token; the file, which is renewed, goes before the fixed one."""
    if settings.vault_token_file:
        return TokenFile(settings.vault_token_file)
    if settings.vault_token and settings.vault_token.get_secret_value():
        return settings.vault_token.get_secret_value
    raise ValueError("VAULT_ADDR is set without a token: set VAULT_TOKEN or VAULT_TOKEN_FILE")


def _outcome(error: Exception, refused: type[Exception]) -> Exception:
    """Translate a failure, keeping its type's name only."""
    # 400 and 404 without Vault's list of errors come from something in between,
    # or from a TLS port that was addressed with http://.
    if isinstance(error, InvalidRequest | InvalidPath) and error.errors is not None:
        return refused(f"Vault Transit refused: {type(error).__name__}")
    return ProviderUnavailable(f"Vault does not help: {type(error).__name__}")


def _field(answer: Any, name: str, kind: type[T]) -> T:
    """Return a member of Vault's `data`; a redirect or a foreign answer has none."""
    try:
        value = answer["data"][name]
    except (KeyError, TypeError):
        raise ProviderUnavailable(FOREIGN) from None
    if not isinstance(value, kind):
        raise ProviderUnavailable(FOREIGN)
    return value


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
