"""The tables of the authority's store.

Times are Unix milliseconds (``…_at``); a column that ends in ``_jws`` or ``body`` holds bytes exactly as they were
signed or arrived, and is the truth: the columns beside it are copies for listing and matching.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from broker.outbox import claimed_index, outbox_columns, outbox_index

metadata = MetaData()

Big = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits on either database; SQLite numbers rows only in columns called INTEGER."""

meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    comment="One value for each name.",
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", Big, nullable=False),
    comment="Which process does a work that only one may do.",
)

journal_position = Table(
    "journal_position",
    metadata,
    Column("incarnation", Integer, primary_key=True, comment="Counts the streams: a re-created one is the next."),
    Column("stream_offset", Big, comment="Of the newest message recorded; empty before the first."),
    Column("message_digest", Text, comment="Of that message, to know it again."),
    comment="How far the journal stream has been recorded; the row with the highest incarnation counts.",
)

journal_gaps = Table(
    "journal_gaps",
    metadata,
    Column("seq", Big, primary_key=True),
    Column("kind", Text, nullable=False, comment="truncated or re-created."),
    Column("incarnation", Integer, nullable=False),
    Column("after_offset", Big, nullable=False, comment="The newest message recorded before."),
    Column("first_offset", Big, comment="The first one found after."),
    Column("noted_at", Big, nullable=False),
    comment="Where the stream did not go on at the message that was recorded last.",
)

journal_gap_acknowledgements = Table(
    "journal_gap_acknowledgements",
    metadata,
    Column("gap_seq", Big, primary_key=True, autoincrement=False),
    Column("acknowledged_at", Big, nullable=False),
    Column("acknowledged_by", Text, nullable=False, comment="A name, as given."),
    Column("reason", Text, nullable=False),
    ForeignKeyConstraint(["gap_seq"], ["journal_gaps.seq"], name="of_gap"),
    comment="Gaps that a person has looked at: who, when, why.",
)

journal = Table(
    "journal",
    metadata,
    Column("incarnation", Integer, primary_key=True),
    Column("stream_offset", Big, primary_key=True),
    Column("exchange", Text, nullable=False),
    Column("routing_key", Text, nullable=False),
    Column("publisher", Text, comment="The agency whose exchange it was published to."),
    Column("kind", Text, nullable=False),
    Column("recorded_at", Big, nullable=False),
    Column("statement_jws", LargeBinary),
    Column("body", LargeBinary, nullable=False),
    comment="Every message that the backbone has confirmed, in the order of the stream.",
)

journal_tokens = Table(
    "journal_tokens",
    metadata,
    Column("incarnation", Integer, primary_key=True),
    Column("stream_offset", Big, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("routing_key", Text, nullable=False),
    Column("publisher", Text),
    Column("about", Text, comment="Of a receipt or statement: the digest that it speaks of, as it says."),
    ForeignKeyConstraint(
        ["incarnation", "stream_offset"], ["journal.incarnation", "journal.stream_offset"], name="of_message"
    ),
    Index("journal_tokens_by_digest", "digest"),
    Index("journal_tokens_about", "about"),
    comment="The tokens in the journal's messages: who published what, by digest and lane.",
)

log_tiles = Table(
    "log_tiles",
    metadata,
    Column("level", Integer, primary_key=True),
    Column("number", Big, primary_key=True),
    Column("hashes", LargeBinary, nullable=False, comment="32 bytes each, 256 at most."),
    comment="The log's Merkle tree; see gateway/log_tree.py.",
)

log_entries = Table(
    "log_entries",
    metadata,
    Column("number", Big, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("lane", Text, nullable=False, comment="Of a letter: to whom. Empty for everything else."),
    Column("accepted", Boolean, nullable=False),
    Column("entry", LargeBinary, nullable=False),
    UniqueConstraint("digest", "lane", "accepted"),
    comment="The leaves of the log, in their order; see gateway/log_entries.py.",
)

log_heads = Table(
    "log_heads",
    metadata,
    Column("size", Big, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("made_at", Big, nullable=False),
    Column("note", LargeBinary, comment="The signed checkpoint; empty until it is signed."),
    comment="Sizes that the log stands by for good: committed before they are signed.",
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("seq", Big, primary_key=True),
    Column("queue", Text, nullable=False),
    Column("exchange", Text, nullable=False, comment="As delivered to the audit worker."),
    Column("routing_key", Text, nullable=False),
    Column("body_digest", Text, nullable=False),
    Column("statement_digest", Text, nullable=False, server_default=""),
    Column("foreign_mark", Text, comment="What it carries that no adapter sets."),
    Column("digest", Text, comment="Of the token, where the body is one."),
    Column("type", Text, nullable=False),
    Column("publisher", Text, comment="The true one: by its exchange, else by the journal; never by x-death."),
    Column("signer", Text),
    Column("letter_id", Text),
    Column("thread_id", Text),
    Column("recipient", Text, comment="Whose copy it is about."),
    Column("stage", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("judged_at", Big),
    Column("explanation", Text, nullable=False, server_default=""),
    Column("received_at", Big, nullable=False),
    Column("last_at", Big, nullable=False),
    Column("copies", Integer, nullable=False, server_default=text("1")),
    Column("size", Integer, nullable=False),
    Column("statement_jws", LargeBinary),
    Column("body", LargeBinary, nullable=False),
    Column("read_mark", Text, comment="Once the journal has this digest, it has all that stood before."),
    UniqueConstraint("body_digest", "queue", "exchange", "routing_key", "statement_digest"),
    Index("dead_letters_by_digest", "digest"),
    Index("dead_letters_by_verdict", "verdict", "seq"),
    comment="The dead-letter audit: what no inbox took.",
)

answers = Table(
    "answers",
    metadata,
    Column("seq", Big, primary_key=True),
    Column("jti", Text, nullable=False, unique=True),
    Column("dead_letter_seq", Big, nullable=False, index=True),
    Column("addressee", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("recipient", Text, nullable=False, comment="Empty for an incident notice."),
    Column("answer_jws", LargeBinary, nullable=False),
    *outbox_columns(),
    outbox_index("answers"),
    claimed_index("answers"),
    UniqueConstraint("addressee", "kind", "digest", "recipient"),
    comment="Receipts and incident notices that the authority signed, on their way.",
)
