"""live"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "workspace_heads",
        sa.Column("rights", sa.BigInteger(), server_default="0", nullable=False),
    )
    op.create_index(
        "ix_events_workspace_id_revision",
        "events",
        ["workspace_id", "revision"],
        unique=False,
        postgresql_where=sa.text("revision IS NOT NULL"),
    )
    op.create_table(
        "stream_tickets",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("credential", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["workspaces.id"],
            name=op.f("fk_stream_tickets_workspace_id_workspaces"),
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_stream_tickets")),
    )
    op.create_index(
        op.f("ix_stream_tickets_expires_at"), "stream_tickets", ["expires_at"], unique=False
    )
    op.create_table(
        "instances",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("service", sa.Text(collation="C"), nullable=False),
        sa.Column("environment", sa.Text(collation="C"), nullable=False),
        sa.Column("instance_id", sa.Text(collation="C"), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("app_version", sa.Text(), nullable=True),
        sa.Column(
            "metadata",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
        ),
        sa.Column(
            "first_seen",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "last_seen",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("status IN ('applied', 'rejected')", name=op.f("ck_instances_status")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_instances_workspace_id_workspaces")
        ),
        sa.PrimaryKeyConstraint(
            "workspace_id", "service", "environment", "instance_id", name=op.f("pk_instances")
        ),
    )
    op.create_index("ix_instances_last_seen", "instances", ["last_seen"], unique=False)


def downgrade() -> None:
    op.drop_table("instances")
    op.drop_table("stream_tickets")
    op.drop_index("ix_events_workspace_id_revision", table_name="events")
    op.drop_column("workspace_heads", "rights")
