"""The tables of an adapter's store.

Times are Unix milliseconds (``…_at``); a column that ends in ``_jws`` holds signed bytes exactly as they were signed
or arrived, and is the truth: the columns beside it are copies for listing and matching.
"""

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text, UniqueConstraint, text

from broker.outbox import outbox_columns, outbox_index

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    comment="One value for each name: agency, store_id, epoch, directory_version.",
)

number_series = Table(
    "number_series",
    metadata,
    Column("direction", Text, primary_key=True),
    Column("year", Integer, primary_key=True),
    Column("next", Integer, nullable=False),
    comment="The next registry number that the adapter gives out, for each direction and year.",
)

letters = Table(
    "letters",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("letter_id", Text, nullable=False, unique=True),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("year", Integer, nullable=False),
    Column("outgoing_no", Text, nullable=False),
    Column("outgoing_sequence", Integer, comment="Empty when the number is the agency's own."),
    Column("thread_id", Text, nullable=False),
    Column("urgency", Text, nullable=False),
    Column("secrecy", Text, nullable=False),
    Column("issued_at", Integer, nullable=False),
    Column("accepted_at", Integer, nullable=False),
    Column("expires_at", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("idempotency_key", Text, unique=True),
    Column("request_digest", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("letter_jws", LargeBinary, nullable=False),
    UniqueConstraint("year", "outgoing_no"),
    comment="Letters of this agency, accepted for sending.",
)

transmissions = Table(
    "transmissions",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("letter_seq", Integer, ForeignKey("letters.seq"), nullable=False, index=True),
    Column("recipient", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("expires_at", Integer, nullable=False),
    Column("sent_at", Integer, comment="The first confirm."),
    Column("ended_at", Integer, comment="When the terminal receipt was stored."),
    Column("registered_no", Text, comment="The recipient's incoming number, as its receipt says."),
    Column("conflicts", Integer, nullable=False, server_default=text("0")),
    Column("confirms", Integer, nullable=False, server_default=text("0"), comment="How often the broker had it."),
    *outbox_columns(),
    UniqueConstraint("digest", "recipient"),
    outbox_index("transmissions"),
    Index("transmissions_open", "due_at", sqlite_where=text("relay_state = 2")),
    comment="One letter to one recipient: the unit of delivery, retry and receipt.",
)

receipts_received = Table(
    "receipts_received",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("jti", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("signer", Text, nullable=False),
    Column("reason", Text),
    Column("occurred_at", Integer, nullable=False),
    Column("received_at", Integer, nullable=False),
    Column("effect", Text, nullable=False),
    Column("token_digest", Text, nullable=False, unique=True),
    Column("copies", Integer, nullable=False, server_default=text("1")),
    Column("receipt_jws", LargeBinary, nullable=False),
    Index("receipts_received_by_letter", "digest", "recipient"),
    comment="Receipts for this agency's letters.",
)

inbox = Table(
    "inbox",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("sender", Text, nullable=False),
    Column("letter_id", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("outgoing_no", Text, nullable=False),
    Column("thread_id", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("urgency", Text, nullable=False),
    Column("secrecy", Text, nullable=False),
    Column("issued_at", Integer, nullable=False),
    Column("received_at", Integer, nullable=False),
    Column("copies", Integer, nullable=False, server_default=text("1")),
    Column("state", Text, nullable=False),
    Column("year", Integer),
    Column("incoming_no", Text),
    Column("incoming_sequence", Integer),
    Column("registered_at", Integer),
    Column("registered_by", Text),
    Column("unit", Text),
    Column("returned_at", Integer),
    Column("returned_by", Text),
    Column("return_reason", Text),
    Column("note", Text),
    Column("letter_jws", LargeBinary, nullable=False),
    UniqueConstraint("sender", "letter_id"),
    UniqueConstraint("year", "incoming_no"),
    Index("inbox_by_state", "state", "seq"),
    comment="Letters from other agencies, verified and opened.",
)

receipts_issued = Table(
    "receipts_issued",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("jti", Text, nullable=False),
    Column("addressee", Text, nullable=False),
    Column("letter_id", Text, comment="Empty when the letter could not be read."),
    Column("digest", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("reason", Text),
    Column("occurred_at", Integer, nullable=False),
    Column("receipt_jws", LargeBinary, nullable=False),
    *outbox_columns(),
    outbox_index("receipts_issued"),
    Index("receipts_issued_by_letter", "digest"),
    comment="Receipts that this agency signed, on their way to the senders.",
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("body_digest", Text, nullable=False, comment="SHA-256 of the body: counts repetitions."),
    Column("digest", Text, comment="Of the token, where the body is one."),
    Column("authentic", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("explanation", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("publisher", Text, comment="The agency whose exchange it came through."),
    Column("claimed_sender", Text),
    Column("letter_id", Text),
    Column("queue", Text, nullable=False),
    Column("exchange", Text, nullable=False),
    Column("routing_key", Text, nullable=False),
    Column("received_at", Integer, nullable=False),
    Column("last_at", Integer, nullable=False),
    Column("copies", Integer, nullable=False, server_default=text("1")),
    Column("size", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False, comment="The original bytes, or their first 64 KiB."),
    Column("statement_jws", LargeBinary, nullable=False),
    *outbox_columns(),
    outbox_index("quarantine"),
    UniqueConstraint("body_digest", "queue", "exchange", "reason"),
    comment="What this adapter gave up on; each row is also the dead letter that it publishes.",
)

incidents = Table(
    "incidents",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("digest", Text, nullable=False, comment="Of what came through this agency's account."),
    Column("reason", Text, nullable=False),
    Column("routing_key", Text, nullable=False),
    Column("seen_at", Integer, nullable=False, comment="When the authority received it."),
    Column("noticed_at", Integer, nullable=False, comment="When this adapter was told, first and last."),
    Column("last_at", Integer, nullable=False),
    Column("copies", Integer, nullable=False, server_default=text("1")),
    Column("notice_jws", LargeBinary, nullable=False),
    UniqueConstraint("digest", "reason"),
    comment="What the authority says came through this agency's own account and was not authentic.",
)
