"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "inbox",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("letter_id", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("outgoing_no", sa.Text(), nullable=False),
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("urgency", sa.Text(), nullable=False),
        sa.Column("secrecy", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.Integer(), nullable=False),
        sa.Column("copies", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=True),
        sa.Column("incoming_no", sa.Text(), nullable=True),
        sa.Column("incoming_sequence", sa.Integer(), nullable=True),
        sa.Column("registered_at", sa.Integer(), nullable=True),
        sa.Column("registered_by", sa.Text(), nullable=True),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("returned_at", sa.Integer(), nullable=True),
        sa.Column("returned_by", sa.Text(), nullable=True),
        sa.Column("return_reason", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("letter_jws", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("sender", "letter_id"),
        sa.UniqueConstraint("year", "incoming_no"),
        comment="Letters from other agencies, verified and opened.",
    )
    op.create_index("inbox_by_state", "inbox", ["state", "seq"], unique=False)
    op.create_table(
        "letters",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("letter_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("outgoing_no", sa.Text(), nullable=False),
        sa.Column(
            "outgoing_sequence",
            sa.Integer(),
            nullable=True,
            comment="Empty when the number is the agency's own.",
        ),
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("urgency", sa.Text(), nullable=False),
        sa.Column("secrecy", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.Integer(), nullable=False),
        sa.Column("accepted_at", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_digest", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("letter_jws", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("idempotency_key"),
        sa.UniqueConstraint("letter_id"),
        sa.UniqueConstraint("year", "outgoing_no"),
        comment="Letters of this agency, accepted for sending.",
    )
    op.create_table(
        "meta",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        comment="One value for each name: agency, store_id, epoch, directory_version.",
    )
    op.create_table(
        "number_series",
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("next", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("direction", "year"),
        comment="The next registry number that the adapter gives out, for each direction and year.",
    )
    op.create_table(
        "quarantine",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column(
            "body_digest", sa.Text(), nullable=False, comment="SHA-256 of the body: counts repetitions."
        ),
        sa.Column("digest", sa.Text(), nullable=True, comment="Of the token, where the body is one."),
        sa.Column("authentic", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("explanation", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column(
            "publisher", sa.Text(), nullable=True, comment="The agency whose exchange it came through."
        ),
        sa.Column("claimed_sender", sa.Text(), nullable=True),
        sa.Column("letter_id", sa.Text(), nullable=True),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("routing_key", sa.Text(), nullable=False),
        sa.Column("received_at", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.Integer(), nullable=False),
        sa.Column("copies", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column(
            "body", sa.LargeBinary(), nullable=False, comment="The original bytes, or their first 64 KiB."
        ),
        sa.Column("statement_jws", sa.LargeBinary(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("relay_state", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("confirmed_at", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("body_digest", "queue", "exchange", "reason"),
        comment="What this adapter gave up on; each row is also the dead letter that it publishes.",
    )
    op.create_index(
        "quarantine_waiting",
        "quarantine",
        ["lane", "due_at"],
        unique=False,
        sqlite_where=sa.text("relay_state = 0"),
    )
    op.create_table(
        "receipts_issued",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("jti", sa.Text(), nullable=False),
        sa.Column("addressee", sa.Text(), nullable=False),
        sa.Column("letter_id", sa.Text(), nullable=True, comment="Empty when the letter could not be read."),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("occurred_at", sa.Integer(), nullable=False),
        sa.Column("receipt_jws", sa.LargeBinary(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("relay_state", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("confirmed_at", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("seq"),
        comment="Receipts that this agency signed, on their way to the senders.",
    )
    op.create_index("receipts_issued_by_letter", "receipts_issued", ["digest"], unique=False)
    op.create_index(
        "receipts_issued_waiting",
        "receipts_issued",
        ["lane", "due_at"],
        unique=False,
        sqlite_where=sa.text("relay_state = 0"),
    )
    op.create_table(
        "receipts_received",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("jti", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("signer", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("occurred_at", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.Integer(), nullable=False),
        sa.Column("effect", sa.Text(), nullable=False),
        sa.Column("token_digest", sa.Text(), nullable=False),
        sa.Column("copies", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("receipt_jws", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("token_digest"),
        comment="Receipts for this agency's letters.",
    )
    op.create_index("receipts_received_by_letter", "receipts_received", ["digest", "recipient"], unique=False)
    op.create_table(
        "transmissions",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("letter_seq", sa.Integer(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.Integer(), nullable=False),
        sa.Column("sent_at", sa.Integer(), nullable=True, comment="The first confirm."),
        sa.Column("ended_at", sa.Integer(), nullable=True, comment="When the terminal receipt was stored."),
        sa.Column(
            "registered_no",
            sa.Text(),
            nullable=True,
            comment="The recipient's incoming number, as its receipt says.",
        ),
        sa.Column("conflicts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("relay_state", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("confirmed_at", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["letter_seq"],
            ["letters.seq"],
        ),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("digest", "recipient"),
        comment="One letter to one recipient: the unit of delivery, retry and receipt.",
    )
    op.create_index(op.f("ix_transmissions_letter_seq"), "transmissions", ["letter_seq"], unique=False)
    op.create_index(
        "transmissions_open",
        "transmissions",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("relay_state = 2"),
    )
    op.create_index(
        "transmissions_waiting",
        "transmissions",
        ["lane", "due_at"],
        unique=False,
        sqlite_where=sa.text("relay_state = 0"),
    )
