"""The log's Merkle tree."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "log_tiles",
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("number", BIG, nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False, comment="32 bytes each, 256 at most."),
        sa.PrimaryKeyConstraint("level", "number"),
        comment="The log's Merkle tree; see gateway/log_tree.py.",
    )
