"""flags"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

KINDS = "kind IN ('config', 'environment', 'flag', 'segment')"


def upgrade() -> None:
    op.add_column(
        "api_keys",
        sa.Column("flags", postgresql.ARRAY(sa.Text()), server_default="{*}", nullable=False),
    )
    op.drop_constraint(op.f("ck_objects_kind"), "objects", type_="check")
    op.create_check_constraint(op.f("ck_objects_kind"), "objects", KINDS)
    op.create_table(
        "flag_names",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_flag_names_workspace_id_workspaces")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flag_names")),
        sa.UniqueConstraint("workspace_id", "id", name=op.f("uq_flag_names_workspace_id_id")),
        sa.UniqueConstraint("workspace_id", "name", name=op.f("uq_flag_names_workspace_id_name")),
    )
    op.create_table(
        "flags",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("name_id", sa.BigInteger(), nullable=False),
        sa.Column("environment_id", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "environment_id"],
            ["environments.workspace_id", "environments.id"],
            name=op.f("fk_flags_workspace_id_environment_id_environments"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "id"],
            ["objects.workspace_id", "objects.id"],
            name=op.f("fk_flags_workspace_id_id_objects"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "name_id"],
            ["flag_names.workspace_id", "flag_names.id"],
            name=op.f("fk_flags_workspace_id_name_id_flag_names"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flags")),
        sa.UniqueConstraint(
            "workspace_id",
            "name_id",
            "environment_id",
            name=op.f("uq_flags_workspace_id_name_id_environment_id"),
        ),
    )
    op.create_table(
        "segments",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("created_by", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "id"],
            ["objects.workspace_id", "objects.id"],
            name=op.f("fk_segments_workspace_id_id_objects"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segments")),
        sa.UniqueConstraint("workspace_id", "name", name=op.f("uq_segments_workspace_id_name")),
    )


def downgrade() -> None:
    op.drop_column("api_keys", "flags")
    op.drop_table("segments")
    op.drop_table("flags")
    op.drop_table("flag_names")
    op.drop_constraint(op.f("ck_objects_kind"), "objects", type_="check")
    op.create_check_constraint(
        op.f("ck_objects_kind"), "objects", "kind IN ('config', 'environment')"
    )
