"""Settings: environment variables or `.env`, one table (docs/settings.md)."""

from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.core.secret_files import read_secret

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
KNOWN_SECRETS = frozenset(
    {"supersecretkey", "supersecretjwtkey", "changeme", "change-me", "secret", "password"}
)
MIN_KEY_LENGTH = 32

CommaList = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """Everything an operator can set; names are the environment variables in lower case."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore")

    data_dir: Path = Field(
        default=Path("data"), description="Embedded database, generated keys, dumps"
    )
    database_url: SecretStr | None = Field(
        default=None, description="PostgreSQL 15 or newer; none: embedded PostgreSQL in DATA_DIR"
    )
    database_direct_url: SecretStr | None = Field(
        default=None,
        description="The same database without a transaction pooler, for migrations and to hear "
        "of changes",
    )
    redis_url: SecretStr | None = Field(
        default=None, description="Broker of the workers; none: no Redis, the server does the work"
    )
    redis_host: str | None = Field(default=None, description="Instead of REDIS_URL")
    redis_port: int = Field(default=6379, description="Used with REDIS_HOST")
    redis_password: SecretStr | None = Field(default=None, description="Used with REDIS_HOST")

    secret_key: SecretStr | None = Field(
        default=None,
        description="Signs tokens; comma-separated, the first signs, all verify; "
        "none: made once in DATA_DIR (embedded mode) or read from there",
    )
    encryption_key: SecretStr | None = Field(
        default=None,
        description="Encrypts the keys of secrets; comma-separated, the first one does, all open",
    )
    encryption_key_file: Path | None = Field(
        default=None, description="Instead of ENCRYPTION_KEY: a file with such keys, one a line"
    )
    enable_encryption: bool = Field(
        default=True, description="Secrets are always encrypted: false only makes a warning"
    )
    vault_addr: str | None = Field(
        default=None, description="Vault whose Transit engine encrypts instead of ENCRYPTION_KEY"
    )
    vault_token: SecretStr | None = Field(default=None, description="Used with VAULT_ADDR")
    vault_token_file: Path | None = Field(
        default=None, description="Instead of VAULT_TOKEN; read anew when it changes"
    )
    vault_transit_key: str = Field(default="configsync", description="Name of the key in Transit")
    vault_transit_mount: str = Field(default="transit", description="Where Transit is mounted")
    data_key_cache_s: int = Field(
        default=300, ge=1, description="Seconds that a decrypted data key is used without its KEK"
    )
    egress_allow: CommaList = Field(
        default=(),
        description="Private networks (CIDR) that webhooks and rotators may reach; public ones may",
    )
    api_key: SecretStr | None = Field(
        default=None, description="Bootstrap API key of the workspace `default`, with every right"
    )
    admin_username: str | None = Field(default=None, description="First admin, first start only")
    admin_email: str | None = Field(default=None, description="First admin, first start only")
    admin_password: SecretStr | None = Field(
        default=None, description="First admin, first start only"
    )

    auth_enabled: bool = Field(
        default=True, description="false: everybody is an admin; only while HOST is loopback"
    )
    require_api_key: bool = Field(
        default=True, description="false with ALLOW_ANONYMOUS_ACCESS=true: open reads of `default`"
    )
    allow_anonymous_access: bool = Field(default=False, description="See REQUIRE_API_KEY")
    allow_registration: bool = Field(default=True, description="Whether anybody may register")
    access_token_expire_minutes: int = Field(
        default=60, ge=1, le=60 * 24 * 30, description="Lifetime of a login"
    )

    project_name: str = Field(default="ConfigSync", description="Title of the documentation")
    service_name: str = Field(default="configsync", description="Name in logs and tokens")
    host: str = Field(default="127.0.0.1", description="Address to listen on (the image: 0.0.0.0)")
    service_port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on")
    workers: int = Field(default=1, ge=1, le=64, description="Server processes")
    root_path: str = Field(default="", description="Prefix under which a proxy serves this server")
    tls_cert_file: Path | None = Field(default=None, description="Certificate chain, PEM")
    tls_key_file: Path | None = Field(default=None, description="Its key, PEM")
    trusted_proxies: CommaList = Field(
        default=(), description="Addresses whose X-Forwarded-* headers are believed"
    )
    cors_origins: CommaList = Field(default=(), description="Origins of browser applications")

    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR")
    log_format: str = Field(
        default="console", pattern="^(console|json)$", description="console or json"
    )
    audit_log_file: Path = Field(
        default=Path("app/logs/config_logs.log"), description="One JSON object a line"
    )
    audit_log_max_bytes: int = Field(
        default=64 * 1024 * 1024, ge=65536, description="Size at which the audit log is rotated"
    )
    audit_log_keep: int = Field(default=10, ge=1, description="Rotated audit logs kept")

    db_pool_size: int = Field(
        default=16, ge=2, le=200, description="Connections, threads, requests in work per process"
    )
    db_pool_timeout_ms: int = Field(
        default=800, ge=50, le=900, description="Wait for a connection before 503"
    )
    db_connect_timeout_s: int = Field(default=2, ge=1, le=60, description="New connection")
    db_statement_timeout_ms: int = Field(default=4000, ge=100, description="One statement")
    db_lock_timeout_ms: int = Field(default=3000, ge=50, description="Wait for a row lock")
    request_deadline_ms: int = Field(
        default=8000, ge=500, description="All database work of one request"
    )

    worker_grace_s: int = Field(
        default=10, ge=1, description="Age of unwritten events at which the server steps in"
    )
    shutdown_grace_s: int = Field(default=10, ge=1, description="For requests in flight")
    audit_retention_days: int = Field(
        default=400, ge=0, description="Events and read counts kept; 0: for ever"
    )
    snapshot_max_bytes: int = Field(
        default=512 * 1024 * 1024, ge=1024 * 1024, description="Snapshots in memory, per process"
    )
    max_listeners: int = Field(
        default=20_000, ge=1, description="Open streams, per process; more are answered 503"
    )
    max_document_bytes: int = Field(
        default=1024 * 1024, ge=1024, description="One stored document, as JSON text"
    )
    client_cache_ttl: int = Field(
        default=60, ge=0, description="Seconds that clients may use a fetched config unasked"
    )
    max_keys_per_document: int = Field(
        default=10_000, ge=1, description="Top-level members of one document"
    )
    max_services_per_workspace: int = Field(
        default=100_000, ge=1, description="Services of one workspace"
    )
    keep_versions: int = Field(
        default=0, ge=0, description="Newest versions kept of each config and key; 0: all"
    )
    diff_time_limit_ms: int = Field(
        default=2000, ge=50, description="DeepDiff of two documents before `diff_truncated`"
    )

    @field_validator("trusted_proxies", "cors_origins", "egress_allow", mode="before")
    @classmethod
    def split_commas(cls, value: object) -> object:
        """Read a comma-separated list."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("egress_allow")
    @classmethod
    def networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Accept networks in CIDR form."""
        for one in value:
            ip_network(one, strict=False)
        return value

    @field_validator("log_level")
    @classmethod
    def known_level(cls, value: str) -> str:
        """Accept the standard level names in any case."""
        if value.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
        return value.upper()

    @model_validator(mode="after")
    def safe(self) -> Self:
        """Refuse weak keys and an open server on a public address."""
        for name in ("secret_key", "encryption_key", "api_key"):
            secret: SecretStr | None = getattr(self, name)
            if secret is not None:
                refuse_weak(name.upper(), secret.get_secret_value())
        if self.admin_password and self.admin_password.get_secret_value() in KNOWN_SECRETS:
            raise ValueError("ADMIN_PASSWORD is a known default: choose another")
        if not self.auth_enabled and self.host not in LOOPBACK:
            raise ValueError("AUTH_ENABLED=false is allowed only while HOST is 127.0.0.1 or ::1")
        if self.encryption_key is not None and self.encryption_key_file is not None:
            raise ValueError("Give either ENCRYPTION_KEY or ENCRYPTION_KEY_FILE")
        if bool(self.tls_cert_file) != bool(self.tls_key_file):
            raise ValueError("TLS_CERT_FILE and TLS_KEY_FILE go together")
        return self

    @property
    def embedded(self) -> bool:
        """Whether the server brings its own PostgreSQL."""
        return self.database_url is None

    @property
    def anonymous_reads(self) -> bool:
        """Whether anybody may read the non-secret values of `default`."""
        return self.allow_anonymous_access and not self.require_api_key

    def database(self, *, direct: bool = False) -> URL:
        """Return the URL for SQLAlchemy; embedded: as the launcher wrote it down."""
        chosen = (self.database_direct_url if direct else None) or self.database_url
        text = chosen.get_secret_value() if chosen else self._embedded_dsn()
        try:
            url = make_url(text.replace("postgres://", "postgresql://", 1))
        except ArgumentError:
            raise ValueError("DATABASE_URL must be a postgresql:// URL") from None
        if url.get_backend_name() != "postgresql":
            raise ValueError("DATABASE_URL must be a postgresql:// URL")
        return url.set(drivername="postgresql+psycopg2")

    def _embedded_dsn(self) -> str:
        file = self.data_dir / "postgres" / "dsn"
        if not file.exists():
            raise FileNotFoundError(
                f"No database: DATABASE_URL is not set and {file} does not exist. "
                "Start the server first (make run) or set DATABASE_URL."
            )
        return file.read_text().strip()

    @property
    def redis(self) -> str | None:
        """Return the URL of Redis, or None."""
        if self.redis_url:
            return self.redis_url.get_secret_value()
        if not self.redis_host:
            return None
        password = self.redis_password.get_secret_value() if self.redis_password else None
        return URL.create(
            "redis", password=password, host=self.redis_host, port=self.redis_port, database="0"
        ).render_as_string(hide_password=False)

    def signing_keys(self) -> tuple[str, ...]:
        """Return the keys for tokens, the signing one first."""
        return self._keys("secret_key")

    def encryption_keys(self) -> tuple[str, ...]:
        """Return the keys for secrets, the encrypting one first."""
        if self.encryption_key_file is None:
            return self._keys("encryption_key")
        text = ",".join(self.encryption_key_file.read_text().split())
        refuse_weak("ENCRYPTION_KEY_FILE", text)
        return tuple(part for part in text.split(",") if part)

    def _keys(self, name: str) -> tuple[str, ...]:
        given: SecretStr | None = getattr(self, name)
        text = given.get_secret_value() if given else read_secret(self.data_dir, name)
        text = text and ",".join(text.split())
        if not text:
            raise ValueError(
                f"{name.upper()} is not set and {self.data_dir / name} does not exist. "
                "Set it (32 characters or more), or run `python -m app secrets` once."
            )
        refuse_weak(name.upper(), text)
        return tuple(part.strip() for part in text.split(",") if part.strip())


def refuse_weak(name: str, keys: str) -> None:
    """Raise ValueError for a key that is short or known to everybody."""
    for key in (part.strip() for part in keys.split(",")):
        if key.lower() in KNOWN_SECRETS or len(set(key)) < 8:  # noqa: PLR2004
            raise ValueError(f"{name} is a known or repeated value: make a random one")
        if len(key) < MIN_KEY_LENGTH:
            raise ValueError(f"{name} is too short: {MIN_KEY_LENGTH} characters at least")


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Read the settings once a process."""
    return Settings()
