"""first"""

import hashlib

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


PARTITIONS = """
DO $$
DECLARE
    month date := date_trunc('month', now() AT TIME ZONE 'UTC');
BEGIN
    FOR i IN 0..1 LOOP
        EXECUTE format(
            'CREATE TABLE %1$I PARTITION OF {table} FOR VALUES FROM (%2$L) TO (%3$L)',
            '{table}_p' || to_char(month, 'YYYYMM'),
            month::text || ' 00:00:00+00',
            (month + interval '1 month')::date::text || ' 00:00:00+00'
        );
        month := month + interval '1 month';
    END LOOP;
END $$
"""


ENVIRONMENT = """
WITH object AS (
    INSERT INTO objects (workspace_id, kind, version, checksum)
    SELECT id, 'environment', 1, :checksum FROM workspaces WHERE slug = 'default'
    RETURNING id, workspace_id
), version AS (
    INSERT INTO versions (workspace_id, object_id, version, revision, action, content, checksum)
    SELECT workspace_id, id, 1, 0, 'create', :content, :checksum FROM object
)
INSERT INTO environments (id, workspace_id, name) SELECT id, workspace_id, :name FROM object
"""


def upgrade() -> None:
    op.create_table(
        "epochs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_epochs")),
        sa.UniqueConstraint("epoch", name=op.f("uq_epochs_epoch")),
    )
    op.create_table(
        "event_pending",
        sa.Column("event_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_event_pending")),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("workspace_id", sa.BigInteger(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("resource_type", sa.Text(), nullable=False),
        sa.Column("resource_id", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.BigInteger(), nullable=True),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=True),
        sa.Column("environment", sa.Text(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=True),
        sa.Column(
            "detail", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.PrimaryKeyConstraint("id", "at", name=op.f("pk_events")),
        postgresql_partition_by="RANGE (at)",
    )
    op.create_index("ix_events_actor_id_id", "events", ["actor_id", "id"], unique=False)
    op.create_index(
        "ix_events_resource", "events", ["resource_type", "resource_id", "id"], unique=False
    )
    op.create_index("ix_events_workspace_id_id", "events", ["workspace_id", "id"], unique=False)
    op.create_table(
        "idempotency_keys",
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("caller", "route", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(
        op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"], unique=False
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "login_throttles",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("blocked_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account", "address", name=op.f("pk_login_throttles")),
    )
    op.create_index(
        op.f("ix_login_throttles_last_at"), "login_throttles", ["last_at"], unique=False
    )
    op.create_table(
        "read_counts",
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column("workspace_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("resource_type", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.BigInteger(), nullable=True),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column(
            "first_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint(
            "minute",
            "workspace_id",
            "actor_name",
            "resource_type",
            "resource",
            name=op.f("pk_read_counts"),
        ),
        postgresql_partition_by="RANGE (minute)",
    )
    op.create_table(
        "workspace_heads",
        sa.Column("workspace_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", name=op.f("pk_workspace_heads")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "workspaces",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("slug", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workspaces")),
        sa.UniqueConstraint("owner_id", name=op.f("uq_workspaces_owner_id")),
    )
    op.create_index(
        "uq_workspaces_slug",
        "workspaces",
        ["slug"],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("previous_digest", sa.Text(), nullable=True),
        sa.Column("previous_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("actions", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("services", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("environments", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("addresses", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_api_keys_workspace_id_workspaces")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
    )
    op.create_index("ix_api_keys_previous_digest", "api_keys", ["previous_digest"], unique=False)
    op.create_index(op.f("ix_api_keys_workspace_id"), "api_keys", ["workspace_id"], unique=False)
    op.create_index("uq_api_keys_digest", "api_keys", ["digest"], unique=True)
    op.create_table(
        "objects",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("checksum", sa.Text(), nullable=True),
        sa.Column("history_from", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("kind IN ('config', 'environment')", name=op.f("ck_objects_kind")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_objects_workspace_id_workspaces")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_objects")),
        sa.UniqueConstraint("workspace_id", "id", name=op.f("uq_objects_workspace_id_id")),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index(
        "ix_objects_workspace_id_revision", "objects", ["workspace_id", "revision"], unique=False
    )
    op.create_table(
        "revisions",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_id", sa.BigInteger(), nullable=True),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_revisions_workspace_id_workspaces")
        ),
        sa.PrimaryKeyConstraint("workspace_id", "n", name=op.f("pk_revisions")),
    )
    op.create_index(
        "ix_revisions_workspace_id_at", "revisions", ["workspace_id", "at"], unique=False
    )
    op.create_table(
        "services",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_services_workspace_id_workspaces")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_services")),
        sa.UniqueConstraint("workspace_id", "id", name=op.f("uq_services_workspace_id_id")),
        sa.UniqueConstraint("workspace_id", "name", name=op.f("uq_services_workspace_id_name")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("username", sa.Text(collation="C"), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("disabled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("home_workspace_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("role IN ('user', 'admin')", name=op.f("ck_users_role")),
        sa.ForeignKeyConstraint(
            ["home_workspace_id"],
            ["workspaces.id"],
            name=op.f("fk_users_home_workspace_id_workspaces"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
    )
    op.create_index("uq_users_email", "users", [sa.literal_column("lower(email)")], unique=True)
    op.create_index(
        "uq_users_username", "users", [sa.literal_column("lower(username)")], unique=True
    )
    op.create_table(
        "environments",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("protected", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("deleted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "id"],
            ["objects.workspace_id", "objects.id"],
            name=op.f("fk_environments_workspace_id_id_objects"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_environments")),
        sa.UniqueConstraint("workspace_id", "id", name=op.f("uq_environments_workspace_id_id")),
    )
    op.create_index(
        "uq_environments_workspace_id_name",
        "environments",
        ["workspace_id", "name"],
        unique=True,
        postgresql_where=sa.text("NOT deleted"),
    )
    op.create_table(
        "login_sessions",
        sa.Column("jti", sa.Text(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_login_sessions_user_id_users")
        ),
        sa.PrimaryKeyConstraint("jti", name=op.f("pk_login_sessions")),
    )
    op.create_index(
        op.f("ix_login_sessions_expires_at"), "login_sessions", ["expires_at"], unique=False
    )
    op.create_index(op.f("ix_login_sessions_user_id"), "login_sessions", ["user_id"], unique=False)
    op.create_table(
        "members",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "role IN ('viewer', 'editor', 'admin', 'owner')", name=op.f("ck_members_role")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_members_user_id_users")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_members_workspace_id_workspaces")
        ),
        sa.PrimaryKeyConstraint("workspace_id", "user_id", name=op.f("pk_members")),
    )
    op.create_index(op.f("ix_members_user_id"), "members", ["user_id"], unique=False)
    op.create_table(
        "versions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("object_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=True),
        sa.Column("checksum", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace_id", "object_id"],
            ["objects.workspace_id", "objects.id"],
            name=op.f("fk_versions_workspace_id_object_id_objects"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "revision"],
            ["revisions.workspace_id", "revisions.n"],
            name=op.f("fk_versions_workspace_id_revision_revisions"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_versions")),
        sa.UniqueConstraint("object_id", "version", name=op.f("uq_versions_object_id_version")),
    )
    op.create_index(
        "ix_versions_workspace_id_revision", "versions", ["workspace_id", "revision"], unique=False
    )
    op.create_table(
        "configs",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("service_id", sa.BigInteger(), nullable=True),
        sa.Column("environment_id", sa.BigInteger(), nullable=True),
        sa.Column("created_by", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace_id", "environment_id"],
            ["environments.workspace_id", "environments.id"],
            name=op.f("fk_configs_workspace_id_environment_id_environments"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "id"],
            ["objects.workspace_id", "objects.id"],
            name=op.f("fk_configs_workspace_id_id_objects"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "service_id"],
            ["services.workspace_id", "services.id"],
            name=op.f("fk_configs_workspace_id_service_id_services"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_configs")),
        sa.UniqueConstraint("workspace_id", "id", name=op.f("uq_configs_workspace_id_id")),
        sa.UniqueConstraint(
            "workspace_id",
            "service_id",
            "environment_id",
            name="uq_configs_level",
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index(
        "ix_configs_environment_id",
        "configs",
        ["workspace_id", "environment_id", "service_id"],
        unique=False,
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("config_id", sa.BigInteger(), nullable=False),
        sa.Column("service_id", sa.BigInteger(), nullable=True),
        sa.Column("environment_id", sa.BigInteger(), nullable=True),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("checksum", sa.Text(), nullable=True),
        sa.Column("value_type", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "config_id"],
            ["configs.workspace_id", "configs.id"],
            name=op.f("fk_keys_workspace_id_config_id_configs"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keys")),
        sa.UniqueConstraint("config_id", "name", name=op.f("uq_keys_config_id_name")),
        sa.UniqueConstraint("workspace_id", "id", name=op.f("uq_keys_workspace_id_id")),
    )
    op.create_index(
        "ix_keys_checksum",
        "keys",
        ["workspace_id", "checksum", "name", "id"],
        unique=False,
        postgresql_where=sa.text("value IS NOT NULL"),
    )
    op.create_index(
        "ix_keys_inactive",
        "keys",
        ["workspace_id", "name", "id"],
        unique=False,
        postgresql_where=sa.text("value IS NOT NULL AND is_active IS false"),
    )
    op.create_index(
        "ix_keys_environment_id_name",
        "keys",
        ["workspace_id", "environment_id", "name", "id"],
        unique=False,
        postgresql_where=sa.text("value IS NOT NULL"),
    )
    op.create_index(
        "ix_keys_name",
        "keys",
        ["workspace_id", "name", "id"],
        unique=False,
        postgresql_where=sa.text("value IS NOT NULL"),
    )
    op.create_index("ix_keys_revision", "keys", ["workspace_id", "revision"], unique=False)
    op.create_table(
        "key_names",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["workspaces.id"],
            name=op.f("fk_key_names_workspace_id_workspaces"),
        ),
        sa.PrimaryKeyConstraint("workspace_id", "name", name=op.f("pk_key_names")),
    )
    op.create_table(
        "key_versions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("value_type", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "key_id"],
            ["keys.workspace_id", "keys.id"],
            name=op.f("fk_key_versions_workspace_id_key_id_keys"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "revision"],
            ["revisions.workspace_id", "revisions.n"],
            name=op.f("fk_key_versions_workspace_id_revision_revisions"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_versions")),
        sa.UniqueConstraint("key_id", "version", name=op.f("uq_key_versions_key_id_version")),
    )
    fill()


def fill() -> None:
    """Make the first partitions, the first epoch and the workspace `default`."""
    for table, owner in (("versions", "object_id"), ("key_versions", "key_id")):
        op.create_index(f"ix_{table}_{owner}_revision", table, [owner, "revision"], unique=False)
    for table in ("events", "read_counts"):
        op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
        op.execute(PARTITIONS.format(table=table))
    op.execute(
        "INSERT INTO epochs (epoch, reason) "
        "VALUES (substr(replace(gen_random_uuid()::text, '-', ''), 1, 12), 'created')"
    )
    op.execute(
        """
        WITH made AS (
            INSERT INTO workspaces (slug, name) VALUES ('default', 'Default') RETURNING id
        ), head AS (
            INSERT INTO workspace_heads (workspace_id, revision, at)
            SELECT id, 0, clock_timestamp() FROM made
            RETURNING workspace_id, at
        )
        INSERT INTO revisions (workspace_id, n, at, actor_name, message, request_id)
        SELECT workspace_id, 0, at, 'system', 'workspace created', 'system' FROM head
        """
    )
    for name in ("development", "staging", "production"):
        content = f'{{"name":"{name}","description":"","protected":false}}'
        canonical = f'{{"description":"","name":"{name}","protected":false}}'
        checksum = hashlib.sha256(canonical.encode()).hexdigest()
        op.execute(sa.text(ENVIRONMENT).bindparams(name=name, content=content, checksum=checksum))


def downgrade() -> None:
    op.drop_table("key_versions")
    op.drop_table("key_names")
    op.drop_index("ix_keys_revision", table_name="keys")
    op.drop_index("ix_keys_name", table_name="keys", postgresql_where=sa.text("value IS NOT NULL"))
    op.drop_index(
        "ix_keys_environment_id_name",
        table_name="keys",
        postgresql_where=sa.text("value IS NOT NULL"),
    )
    op.drop_index(
        "ix_keys_checksum", table_name="keys", postgresql_where=sa.text("value IS NOT NULL")
    )
    op.drop_table("keys")
    op.drop_index("ix_configs_environment_id", table_name="configs")
    op.drop_table("configs")
    op.drop_index("ix_versions_workspace_id_revision", table_name="versions")
    op.drop_table("versions")
    op.drop_index(op.f("ix_members_user_id"), table_name="members")
    op.drop_table("members")
    op.drop_index(op.f("ix_login_sessions_user_id"), table_name="login_sessions")
    op.drop_index(op.f("ix_login_sessions_expires_at"), table_name="login_sessions")
    op.drop_table("login_sessions")
    op.drop_index(
        "uq_environments_workspace_id_name",
        table_name="environments",
        postgresql_where=sa.text("NOT deleted"),
    )
    op.drop_table("environments")
    op.drop_index("uq_users_username", table_name="users")
    op.drop_index("uq_users_email", table_name="users")
    op.drop_table("users")
    op.drop_table("services")
    op.drop_index("ix_revisions_workspace_id_at", table_name="revisions")
    op.drop_table("revisions")
    op.drop_index("ix_objects_workspace_id_revision", table_name="objects")
    op.drop_table("objects")
    op.drop_index("uq_api_keys_digest", table_name="api_keys")
    op.drop_index(op.f("ix_api_keys_workspace_id"), table_name="api_keys")
    op.drop_index("ix_api_keys_previous_digest", table_name="api_keys")
    op.drop_table("api_keys")
    op.drop_index(
        "uq_workspaces_slug",
        table_name="workspaces",
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.drop_table("workspaces")
    op.drop_table("workspace_heads")
    op.drop_table("read_counts")
    op.drop_index(op.f("ix_login_throttles_last_at"), table_name="login_throttles")
    op.drop_table("login_throttles")
    op.drop_table("leases")
    op.drop_index(op.f("ix_idempotency_keys_created_at"), table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_index("ix_events_workspace_id_id", table_name="events")
    op.drop_index("ix_events_resource", table_name="events")
    op.drop_index("ix_events_actor_id_id", table_name="events")
    op.drop_table("events")
    op.drop_table("event_pending")
    op.drop_table("epochs")
