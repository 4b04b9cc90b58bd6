"""The last known good config on disk: ours alone, whole, and of the very same application.

Nothing that is wrong with it is an error of the application: it is logged, and there is no cache.
"""

import base64
import hashlib
import json
import logging
import os
import stat
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configsync._document import without
from configsync._options import Options

log = logging.getLogger("configsync")

FORMAT = 1
MOST_BYTES = 128 * 1024 * 1024
SALT_BYTES, NONCE_BYTES = 16, 12
WITHHELD = "is a secret, which the cache on disk does not have (see cache_secrets)"


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a config, and where in the server's history it was."""

    config: dict[str, Any]
    secrets: Sequence[str]
    version: str
    revision: int
    epoch: str | None
    head: int
    saved_at: float
    epochs: Sequence[str] = ()
    withheld: dict[str, str] = field(default_factory=dict)
    flags: Mapping[str, Any] | None = None
    flags_tag: str | None = None


class _UnusableError(Exception):
    """Why a file is not used."""


class Cache:
    """One file in a directory."""

    def __init__(self, options: Options) -> None:
        assert options.cache_dir is not None
        if options.cache_secrets is not None:
            import cryptography  # noqa: F401, PLC0415  (of the extra `encryption`)
        self._passphrase = options.cache_secrets
        self._identity = _identity(options)
        self._keys: dict[bytes, bytes] = {}
        self.directory = options.cache_dir
        self.file = self.directory / f"{_digest(self._identity)[:40]}.json"

    def load(self) -> Kept | None:
        """Return what is kept, None if there is nothing that can be used."""
        try:
            envelope = self._envelope()
            return None if envelope is None else self._kept(envelope)
        except (_UnusableError, OSError) as error:
            log.warning("The cache file %s is not used: %s", self.file, error)
        except Exception as error:  # noqa: BLE001  (whatever is in a file)
            kind = type(error).__name__
            log.warning("The cache file %s is not used: it cannot be read (%s)", self.file, kind)
        return None

    def save(self, kept: Kept) -> None:
        """Keep a config, in the place of the one before."""
        try:
            self._prepare()
            self._write(self._enclosed(kept))
        except Exception as error:  # noqa: BLE001  (disk full, read-only, not ours, …)
            reason = error.strerror if isinstance(error, OSError) else error
            log.warning("The config cannot be kept in %s: %s", self.directory, reason)

    def _envelope(self) -> dict[str, Any] | None:
        try:
            number = os.open(self.file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        with os.fdopen(number, "rb") as file:
            _check_owner(os.fstat(number))
            data = file.read(MOST_BYTES)
        envelope: dict[str, Any] = json.loads(data)
        if envelope["format"] != FORMAT:
            raise _UnusableError(f"its format {envelope['format']} is of another version")
        if envelope["sha256"] != _digest(envelope["identity"], envelope["content"]):
            raise _UnusableError("it is damaged")
        if envelope["identity"] != self._identity:
            raise _UnusableError("it is of another application, environment, key or server")
        return envelope

    def _kept(self, envelope: dict[str, Any]) -> Kept:
        text = envelope["content"]
        if envelope["encrypted"]:
            text = self._opened(text)
        return Kept(**json.loads(text))

    def _enclosed(self, kept: Kept) -> bytes:
        withheld = dict(kept.withheld)
        config = kept.config
        if self._passphrase is None and kept.secrets:
            withheld = dict.fromkeys(kept.secrets, WITHHELD) | withheld
            config = without(config, withheld.keys())
        members = {name: getattr(kept, name) for name in Kept.__slots__}
        text = json.dumps(members | {"config": config, "withheld": withheld})
        content = text if self._passphrase is None else self._sealed(text)
        envelope = {
            "format": FORMAT,
            "identity": self._identity,
            "encrypted": self._passphrase is not None,
            "content": content,
            "sha256": _digest(self._identity, content),
        }
        return json.dumps(envelope).encode()

    def _prepare(self) -> None:
        """Make the directory; one that others may change is none for this."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self.directory.stat()
        if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise _UnusableError("others may write there, or it belongs to somebody else")

    def _write(self, data: bytes) -> None:
        """Put a whole file in the place of the old one; there is always one of them."""
        number, name = tempfile.mkstemp(dir=self.directory, prefix=".new-")  # 0600
        try:
            with os.fdopen(number, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(number)
            Path(name).replace(self.file)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise

    def _sealed(self, text: str) -> str:
        salt = next(iter(self._keys), None) or os.urandom(SALT_BYTES)
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._cipher(salt).encrypt(nonce, text.encode(), _digest(self._identity).encode())
        return base64.b64encode(salt + nonce + sealed).decode()

    def _opened(self, text: str) -> str:
        if self._passphrase is None:
            raise _UnusableError("it is encrypted, and there is no cache_secrets")
        data = base64.b64decode(text)
        salt, data = data[:SALT_BYTES], data[SALT_BYTES:]
        nonce, data = data[:NONCE_BYTES], data[NONCE_BYTES:]
        try:
            opened: bytes = self._cipher(salt).decrypt(
                nonce, data, _digest(self._identity).encode()
            )
        except Exception:  # noqa: BLE001  (InvalidTag)
            raise _UnusableError("cache_secrets does not open it") from None
        return opened.decode()

    def _cipher(self, salt: bytes) -> Any:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        if salt not in self._keys:
            assert self._passphrase is not None
            key = hashlib.scrypt(self._passphrase.encode(), salt=salt, n=2**14, r=8, p=1, dklen=32)
            self._keys[salt] = key
        return AESGCM(self._keys[salt])


def _identity(options: Options) -> dict[str, Any]:
    """Return whose config it is. Without the workspace's name it is that of the API key."""
    key = hashlib.sha256((options.api_key or "").encode()).hexdigest()[:16]
    return {
        "server": options.base_url,
        "workspace": options.workspace,
        "key": key if options.workspace is None else None,
        "app_id": options.app_id,
        "environment": options.environment,
    }


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _check_owner(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _UnusableError("it is no file")
    if found.st_uid != os.geteuid():
        raise _UnusableError("it belongs to somebody else")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise _UnusableError("others may read or write it")
