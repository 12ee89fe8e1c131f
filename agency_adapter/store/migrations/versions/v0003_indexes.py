"""Leases that ran out, and a letter by its id alone, are found without walking all that ever came or went."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_index("inbox_by_letter", "inbox", ["letter_id"], unique=False)
    for table in ("quarantine", "receipts_issued", "transmissions"):
        op.create_index(
            f"{table}_claimed", table, ["lease_until"], unique=False, sqlite_where=sa.text("relay_state = 1")
        )
