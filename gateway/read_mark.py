"""Read marks: how the audit knows that the journal has been read past what the stream held at some moment.

A stream tells nobody how much of it still lies before a reader. So the audit puts a mark of its own into the stream,
after an entry was stored: once the journal has recorded the mark, it has recorded all that stood before it. That is
exact however far the reader lags and in whichever process it runs; no clock and no question to the broker is in it.

One mark serves all entries that wait for one. It is lost where the stream was truncated or made anew, or where a
process died before it had published it: once a gap has been noted, and when the work begins, those that still wait get
another.
"""

import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Self

from sqlalchemy import ColumnElement, Connection, func, select, update

from broker.names import READ_MARK_ROUTING_KEY
from broker.publishing import Outcome, Outgoing
from broker.writer import Writer
from gateway.lease import Lease
from gateway.store.tables import dead_letters, journal_gaps, journal_tokens
from gateway.verdict import Verdict
from schemas.identifiers import AUTHORITY

Publish = Callable[[Sequence[Outgoing]], Awaitable[list[Outcome]]]


@dataclass(frozen=True, slots=True)
class ReadMark:
    """What one mark looks like in the stream; nobody can name it before it has been published."""

    body: bytes

    @classmethod
    def made(cls) -> Self:
        return cls(json.dumps({"mark": secrets.token_hex(16)}).encode())

    @property
    def digest(self) -> str:
        """Under which the journal knows it."""
        return hashlib.sha256(self.body).hexdigest()

    @property
    def message(self) -> Outgoing:
        return Outgoing((0,), READ_MARK_ROUTING_KEY, self.body, "application/json")


def has_been_read() -> ColumnElement[bool]:
    """Of a row of ``dead_letters``: the journal has been read past what the stream held when it was stored.

    Only the authority can publish to its own exchange: a mark from anywhere else is none.
    """
    t = journal_tokens.c
    return select(t.digest).where(t.digest == dead_letters.c.read_mark, t.publisher == AUTHORITY).exists()


class ReadMarks:
    """Gives marks to the entries that wait for the journal, while this process holds the lease.

    Args:
        writer: of the authority's store.
        lease: of the audit.
        publish: puts messages into the stream through the authority's exchange; an outcome for each.
    """

    def __init__(self, writer: Writer, lease: Lease, publish: Publish) -> None:
        self._writer = writer
        self._lease = lease
        self._publish = publish
        self._gap: int | None = None
        self._unpublished: ReadMark | None = None

    async def give(self) -> bool:
        """Give those that wait without a mark the next one, and publish it; what is not confirmed goes out next time.

        Returns True when a mark has just been confirmed: a reader that is current records it within the moment.

        An entry has its mark before that is published, so what the stream held when the entry was stored lies before
        it. A mark that may have been published is given to no further entry.

        Raises:
            Refused: the store cannot be used.
            LeaseLost: another process does the audit now.
        """
        if self._unpublished is None:
            mark = ReadMark.made()
            self._gap, given = await self._writer.submit(self._attach, mark)
            if not given:
                return False
            self._unpublished = mark
        [outcome] = await self._publish([self._unpublished.message])
        confirmed = outcome is Outcome.CONFIRMED
        if confirmed:
            self._unpublished = None
        return confirmed

    async def _attach(self, connection: Connection, marks: Sequence[ReadMark]) -> list[tuple[int, int]]:
        d = dead_letters.c
        waiting = update(dead_letters).where(d.verdict == Verdict.WAITING.value)
        gap = connection.execute(select(func.max(journal_gaps.c.seq))).scalar() or 0
        if gap == self._gap:
            waiting = waiting.where(d.read_mark.is_(None))
        given = connection.execute(waiting.values(read_mark=marks[-1].digest)).rowcount
        if given:
            self._lease.require(connection)
        return [(gap, given)] * len(marks)
