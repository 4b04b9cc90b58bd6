"""secrets"""

import sqlalchemy as sa

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "key_checks",
        sa.Column("kek_id", sa.Text(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("kek_id", name=op.f("pk_key_checks")),
    )
    op.create_table(
        "wrapped_secrets",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["workspaces.id"],
            name=op.f("fk_wrapped_secrets_workspace_id_workspaces"),
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_wrapped_secrets")),
    )
    op.create_index(
        op.f("ix_wrapped_secrets_expires_at"), "wrapped_secrets", ["expires_at"], unique=False
    )
    op.create_table(
        "data_keys",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("environment_id", sa.BigInteger(), nullable=True),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("kek_id", sa.Text(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "purpose IN ('value', 'fingerprint')", name=op.f("ck_data_keys_purpose")
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "environment_id"],
            ["environments.workspace_id", "environments.id"],
            name=op.f("fk_data_keys_workspace_id_environment_id_environments"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_data_keys_workspace_id_workspaces")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_keys")),
        sa.UniqueConstraint(
            "workspace_id",
            "environment_id",
            "purpose",
            "number",
            name="uq_data_keys_number",
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index("ix_data_keys_kek_id", "data_keys", ["kek_id"], unique=False)
    op.create_index(
        "uq_data_keys_active",
        "data_keys",
        ["workspace_id", "environment_id", "purpose"],
        unique=True,
        postgresql_where=sa.text("is_active"),
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "secrets",
        sa.Column("handle", sa.Text(collation="C"), nullable=False),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("config_id", sa.BigInteger(), nullable=False),
        sa.Column("key_name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("data_key_id", sa.BigInteger(), nullable=True),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=True),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("value_type", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("destroyed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("destroyed_by", sa.Text(), nullable=True),
        sa.CheckConstraint("owner IN ('document', 'rotator')", name=op.f("ck_secrets_owner")),
        sa.ForeignKeyConstraint(
            ["data_key_id"], ["data_keys.id"], name=op.f("fk_secrets_data_key_id_data_keys")
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "config_id"],
            ["configs.workspace_id", "configs.id"],
            name=op.f("fk_secrets_workspace_id_config_id_configs"),
        ),
        sa.PrimaryKeyConstraint("handle", name=op.f("pk_secrets")),
    )
    op.create_index(
        "ix_secrets_config_id_fingerprint", "secrets", ["config_id", "fingerprint"], unique=False
    )
    op.create_index(
        "ix_secrets_data_key_id_handle", "secrets", ["data_key_id", "handle"], unique=False
    )
    op.create_table(
        "rotators",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("every_seconds", sa.BigInteger(), nullable=True),
        sa.Column("grace_seconds", sa.BigInteger(), nullable=False),
        sa.Column("run", sa.Text(), nullable=True),
        sa.Column("step", sa.Text(), nullable=True),
        sa.Column("pending", sa.Text(), nullable=True),
        sa.Column("previous", sa.Text(), nullable=True),
        sa.Column("failures", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rotated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("orphaned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "key_id"],
            ["keys.workspace_id", "keys.id"],
            name=op.f("fk_rotators_workspace_id_key_id_keys"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rotators")),
        sa.UniqueConstraint("key_id", name=op.f("uq_rotators_key_id")),
    )
    op.create_index(
        "ix_rotators_next_at",
        "rotators",
        ["next_at"],
        unique=False,
        postgresql_where=sa.text("orphaned_at IS NULL"),
    )


def downgrade() -> None:
    for table in ("rotators", "secrets", "data_keys", "wrapped_secrets", "key_checks"):
        op.drop_table(table)
