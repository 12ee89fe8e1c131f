"""Unbrought dead letters: agencies published them, the journal has them, and no queue brought them to the audit.

Where ``dead-letter.X`` is absent the broker confirms X's dead letters all the same, as the journal takes them; a queue
that is lost with the broker's disk brings none either. So the journal is compared with the audit, from a place on, a
minute behind the reader: what a queue will still bring is seldom found here, and is then counted as one more copy.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from sqlalchemy import Connection, select, tuple_

from broker.consuming import Delivery
from broker.names import dead_letter_queue
from gateway.journal import STATEMENT_HEADER, JournalKind
from gateway.places import Place, place_of
from gateway.store.tables import dead_letters, journal

WORK = "dead_letters_compared"
"""Its name among the places in the journal."""
BEHIND_MS = 60_000
MOST_COMPARED = 1_000
MOST_FOUND = 64
"""Their bodies are in memory together, a megabyte each at most."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A part of the journal that has been compared.

    Attributes:
        unbrought: as their queue would have delivered them.
        up_to: the newest message of it; None when there was nothing to compare.
    """

    unbrought: Sequence[Delivery]
    up_to: Place | None


def compare(connection: Connection, now: int) -> Compared:
    """Compare the next part; ``now`` in Unix milliseconds. Changes nothing, not even the place of :data:`WORK`."""
    j = journal.c
    place = tuple_(j.incarnation, j.stream_offset)
    part = connection.execute(
        select(j.incarnation, j.stream_offset, j.recorded_at, j.kind)
        .where(place > tuple_(*place_of(connection, WORK, 2)))
        .order_by(j.incarnation, j.stream_offset)
        .limit(MOST_COMPARED)
    )
    # In the stream's order up to the first that is too new: clocks are set back at times.
    settled = takewhile(lambda row: row.recorded_at < now - BEHIND_MS, part.all())
    unbrought: list[Delivery] = []
    up_to = None
    for row in settled:
        if row.kind == JournalKind.DEAD_LETTER and (found := _unbrought(connection, row)) is not None:
            unbrought.append(found)
        up_to = (row.incarnation, row.stream_offset)
        if len(unbrought) == MOST_FOUND:
            break
    return Compared(unbrought, up_to)


def _unbrought(connection: Connection, row: Any) -> Delivery | None:
    j, d = journal.c, dead_letters.c
    publisher, exchange, routing_key, statement, body = connection.execute(
        select(j.publisher, j.exchange, j.routing_key, j.statement_jws, j.body).where(
            j.incarnation == row.incarnation, j.stream_offset == row.stream_offset
        )
    ).one()
    brought = connection.execute(
        select(d.seq)
        .where(
            d.body_digest == hashlib.sha256(body).hexdigest(),
            d.statement_digest == ("" if statement is None else hashlib.sha256(statement).hexdigest()),
            d.routing_key == routing_key,
        )
        .limit(1)
    ).scalar()
    if brought is not None or publisher is None:
        return None
    headers = {} if statement is None else {STATEMENT_HEADER: bytes(statement).decode("utf-8", "surrogateescape")}
    return Delivery(
        queue=dead_letter_queue(publisher),
        exchange=exchange,
        routing_key=routing_key,
        body=bytes(body),
        headers=headers,
        content_type=None,
        expiration=None,
        redelivered=False,
    )
