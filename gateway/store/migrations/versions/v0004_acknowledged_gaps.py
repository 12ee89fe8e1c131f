"""Gaps of the journal can be acknowledged."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "journal_gap_acknowledgements",
        sa.Column("gap_seq", BIG, autoincrement=False, nullable=False),
        sa.Column("acknowledged_at", BIG, nullable=False),
        sa.Column("acknowledged_by", sa.Text(), nullable=False, comment="A name, as given."),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["gap_seq"], ["journal_gaps.seq"], name="of_gap"),
        sa.PrimaryKeyConstraint("gap_seq"),
        comment="Gaps that a person has looked at: who, when, why.",
    )
