"""The log: its entries, their Merkle tree, and the heads that it has signed."""

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
    op.create_table(
        "log_entries",
        sa.Column("number", BIG, autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False, comment="Of a letter: to whom. Empty for everything else."),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("digest", "lane", "accepted"),
        comment="The leaves of the log, in their order; see gateway/log_entries.py.",
    )
    op.create_table(
        "log_heads",
        sa.Column("size", BIG, autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", BIG, nullable=False),
        sa.Column("note", sa.LargeBinary(), comment="The signed checkpoint; empty until it is signed."),
        sa.PrimaryKeyConstraint("size"),
        comment="Sizes that the log stands by for good: committed before they are signed.",
    )
