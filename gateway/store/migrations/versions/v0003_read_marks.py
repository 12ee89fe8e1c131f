"""Dead letters wait until the journal has their mark."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column(
        "dead_letters",
        sa.Column(
            "read_mark",
            sa.Text(),
            nullable=True,
            comment="Once the journal has this digest, it has all that stood before.",
        ),
    )
