"""Leases that ran out are found without walking all that was ever answered."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    claimed = sa.text("relay_state = 1")
    op.create_index(
        "answers_claimed", "answers", ["lease_until"], unique=False, sqlite_where=claimed, postgresql_where=claimed
    )
