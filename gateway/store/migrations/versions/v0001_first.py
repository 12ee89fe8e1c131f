"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "answers",
        sa.Column("seq", BIG, nullable=False),
        sa.Column("jti", sa.Text(), nullable=False),
        sa.Column("dead_letter_seq", BIG, nullable=False),
        sa.Column("addressee", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False, comment="Empty for an incident notice."),
        sa.Column("answer_jws", sa.LargeBinary(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("relay_state", sa.Integer(), nullable=False),
        sa.Column("due_at", BIG, nullable=False),
        sa.Column("lease_until", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("confirmed_at", BIG, nullable=True),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("addressee", "kind", "digest", "recipient"),
        sa.UniqueConstraint("jti"),
        comment="Receipts and incident notices that the authority signed, on their way.",
    )
    op.create_index(
        "answers_waiting",
        "answers",
        ["lane", "due_at"],
        unique=False,
        sqlite_where=sa.text("relay_state = 0"),
        postgresql_where=sa.text("relay_state = 0"),
    )
    op.create_index(op.f("ix_answers_dead_letter_seq"), "answers", ["dead_letter_seq"], unique=False)
    op.create_table(
        "dead_letters",
        sa.Column("seq", BIG, nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("exchange", sa.Text(), nullable=False, comment="As delivered to the audit worker."),
        sa.Column("routing_key", sa.Text(), nullable=False),
        sa.Column("body_digest", sa.Text(), nullable=False),
        sa.Column("statement_digest", sa.Text(), server_default="", nullable=False),
        sa.Column("foreign_mark", sa.Text(), nullable=True, comment="What it carries that no adapter sets."),
        sa.Column("digest", sa.Text(), nullable=True, comment="Of the token, where the body is one."),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column(
            "publisher",
            sa.Text(),
            nullable=True,
            comment="The true one: by its exchange, else by the journal; never by x-death.",
        ),
        sa.Column("signer", sa.Text(), nullable=True),
        sa.Column("letter_id", sa.Text(), nullable=True),
        sa.Column("thread_id", sa.Text(), nullable=True),
        sa.Column("recipient", sa.Text(), nullable=True, comment="Whose copy it is about."),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("judged_at", BIG, nullable=True),
        sa.Column("explanation", sa.Text(), server_default="", nullable=False),
        sa.Column("received_at", BIG, nullable=False),
        sa.Column("last_at", BIG, nullable=False),
        sa.Column("copies", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("statement_jws", sa.LargeBinary(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("body_digest", "queue", "exchange", "routing_key", "statement_digest"),
        comment="The dead-letter audit: what no inbox took.",
    )
    op.create_index("dead_letters_by_digest", "dead_letters", ["digest"], unique=False)
    op.create_index("dead_letters_by_verdict", "dead_letters", ["verdict", "seq"], unique=False)
    op.create_table(
        "journal",
        sa.Column("incarnation", sa.Integer(), nullable=False),
        sa.Column("stream_offset", BIG, nullable=False),
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("routing_key", sa.Text(), nullable=False),
        sa.Column("publisher", sa.Text(), nullable=True, comment="The agency whose exchange it was published to."),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("recorded_at", BIG, nullable=False),
        sa.Column("statement_jws", sa.LargeBinary(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("incarnation", "stream_offset"),
        comment="Every message that the backbone has confirmed, in the order of the stream.",
    )
    op.create_table(
        "journal_gaps",
        sa.Column("seq", BIG, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="truncated or re-created."),
        sa.Column("incarnation", sa.Integer(), nullable=False),
        sa.Column("after_offset", BIG, nullable=False, comment="The newest message recorded before."),
        sa.Column("first_offset", BIG, nullable=True, comment="The first one found after."),
        sa.Column("noted_at", BIG, nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        comment="Where the stream did not go on at the message that was recorded last.",
    )
    op.create_table(
        "journal_position",
        sa.Column(
            "incarnation", sa.Integer(), nullable=False, comment="Counts the streams: a re-created one is the next."
        ),
        sa.Column(
            "stream_offset", BIG, nullable=True, comment="Of the newest message recorded; empty before the first."
        ),
        sa.Column("message_digest", sa.Text(), nullable=True, comment="Of that message, to know it again."),
        sa.PrimaryKeyConstraint("incarnation"),
        comment="How far the journal stream has been recorded; the row with the highest incarnation counts.",
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until", BIG, nullable=False),
        sa.PrimaryKeyConstraint("name"),
        comment="Which process does a work that only one may do.",
    )
    op.create_table(
        "meta",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        comment="One value for each name.",
    )
    op.create_table(
        "journal_tokens",
        sa.Column("incarnation", sa.Integer(), nullable=False),
        sa.Column("stream_offset", BIG, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("routing_key", sa.Text(), nullable=False),
        sa.Column("publisher", sa.Text(), nullable=True),
        sa.Column(
            "about",
            sa.Text(),
            nullable=True,
            comment="Of a receipt or statement: the digest that it speaks of, as it says.",
        ),
        sa.ForeignKeyConstraint(
            ["incarnation", "stream_offset"], ["journal.incarnation", "journal.stream_offset"], name="of_message"
        ),
        sa.PrimaryKeyConstraint("incarnation", "stream_offset", "position"),
        comment="The tokens in the journal's messages: who published what, by digest and lane.",
    )
    op.create_index("journal_tokens_about", "journal_tokens", ["about"], unique=False)
    op.create_index("journal_tokens_by_digest", "journal_tokens", ["digest"], unique=False)
