"""flag usage"""

import sqlalchemy as sa

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "flag_counts",
        sa.Column("flag_id", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("variant", sa.Text(collation="C"), nullable=False),
        sa.Column("rule_id", sa.Text(collation="C"), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["flag_id"], ["flags.id"], name=op.f("fk_flag_counts_flag_id_flags")
        ),
        sa.PrimaryKeyConstraint(
            "flag_id", "day", "variant", "rule_id", name=op.f("pk_flag_counts")
        ),
    )
    op.create_index("ix_flag_counts_day", "flag_counts", ["day"])
    op.create_table(
        "unknown_flags",
        sa.Column("environment_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "environment_id"],
            ["environments.workspace_id", "environments.id"],
            name=op.f("fk_unknown_flags_workspace_id_environment_id_environments"),
        ),
        sa.PrimaryKeyConstraint("environment_id", "name", name=op.f("pk_unknown_flags")),
    )
    op.create_index("ix_unknown_flags_workspace_id", "unknown_flags", ["workspace_id"])
    op.create_index("ix_unknown_flags_last_seen", "unknown_flags", ["last_seen"])


def downgrade() -> None:
    op.drop_table("unknown_flags")
    op.drop_table("flag_counts")
