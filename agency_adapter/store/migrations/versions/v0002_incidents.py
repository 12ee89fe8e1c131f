"""What the authority says about this agency's own account."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "incidents",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False, comment="Of what came through this agency's account."),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("routing_key", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.Integer(), nullable=False, comment="When the authority received it."),
        sa.Column("noticed_at", sa.Integer(), nullable=False, comment="When this adapter was told, first and last."),
        sa.Column("last_at", sa.Integer(), nullable=False),
        sa.Column("copies", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("notice_jws", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("digest", "reason"),
        comment="What the authority says came through this agency's own account and was not authentic.",
    )
