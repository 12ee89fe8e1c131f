"""Receipts that this agency signs, and their outbox."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, bindparam, insert, select, update

from agency_adapter.store import tables
from broker.clock import Clock
from broker.configuration import LARGEST_MESSAGE
from broker.kill_points import KillPoint
from broker.names import notice_routing_key
from broker.outbox import CONFIRMED, PENDING, confirm
from broker.publishing import Outgoing
from schemas.identifiers import uuid7
from schemas.receipts import ReceiptEvent, build_receipt
from trust import ijson
from trust.token import Signer, TokenType

CONTENT_TYPE = "application/vnd.tarasul.receipts"
"""Compact tokens, one a line."""

SHORTEST_REPEAT_MS = 60_000
"""A duplicate is answered at most once a minute."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A receipt to be signed.

    Attributes:
        event: what happened.
        addressee: agency that sent the letter.
        letter_id: None when the letter could not be read.
        thread_id: the conversation, if known.
        digest: of the letter.
        details: of the event: reason, incoming number, clerk…
    """

    event: ReceiptEvent
    addressee: str
    letter_id: str | None
    thread_id: str | None
    digest: str
    details: dict[str, Any]


_issued = tables.receipts_issued.c
# Run for each letter, or few: building a statement costs more than running it.
_INSERT = insert(tables.receipts_issued)
_LOAD = (
    select(_issued.seq, _issued.receipt_jws, _issued.lane)
    .where(_issued.seq.in_(bindparam("keys", expanding=True)))
    .order_by(_issued.lane, _issued.seq)
)


class ReceiptDesk:
    """Signs and stores receipts within the caller's transaction."""

    def __init__(self, agency: str, signer: Signer, clock: Clock) -> None:
        self._agency = agency
        self._signer = signer
        self._clock = clock

    async def issue(self, connection: Connection, answers: Sequence[Answer]) -> None:
        """Sign ``answers`` and put them into the outbox, pending."""
        if not answers:
            return
        now_ms = self._clock.unix_ms()
        now = now_ms // 1000
        jtis = [uuid7(now_ms, secrets.token_bytes(10)) for _ in answers]
        payloads = [
            ijson.dump(
                build_receipt(
                    event=answer.event,
                    issuer=self._agency,
                    audience=answer.addressee,
                    jti=jti,
                    issued_at=now,
                    occurred_at=now,
                    thread_id=answer.thread_id,
                    letter_id=answer.letter_id,
                    recipient=self._agency,
                    digest=answer.digest,
                    details=answer.details,
                )
            )
            for answer, jti in zip(answers, jtis, strict=True)
        ]
        tokens = await self._signer.sign(TokenType.RECEIPT, payloads, now)
        connection.execute(
            _INSERT,
            [
                {
                    "jti": jti,
                    "addressee": answer.addressee,
                    "letter_id": answer.letter_id,
                    "digest": answer.digest,
                    "event": answer.event.value,
                    "reason": answer.details.get("reason"),
                    "occurred_at": now_ms,
                    "receipt_jws": token.text,
                    "lane": notice_routing_key(answer.addressee),
                    "relay_state": PENDING,
                    "due_at": now_ms,
                }
                for answer, jti, token in zip(answers, jtis, tokens, strict=True)
            ],
        )

    def repeat(self, connection: Connection, digests: Sequence[str]) -> None:
        """Send the stored receipts for ``digests`` again, unless that was done within the last minute."""
        now = self._clock.unix_ms()
        table = tables.receipts_issued
        connection.execute(
            update(table)
            .where(
                table.c.digest.in_(digests),
                table.c.relay_state == CONFIRMED,
                table.c.confirmed_at <= now - SHORTEST_REPEAT_MS,
            )
            .values(relay_state=PENDING, due_at=now)
        )


class ReceiptOutbox:
    """The receipts as the relay sees them: many for one agency travel in one message."""

    name = "receipts"
    most_per_message = 64
    claimed_point = KillPoint.COMMITTED_RECEIPT_UNPUBLISHED
    published_point = KillPoint.RECEIPT_PUBLISHED_UNCONFIRMED
    confirmed_point = KillPoint.RECEIPT_CONFIRMED_UNMARKED

    @property
    def table(self) -> Table:
        return tables.receipts_issued

    def load(self, connection: Connection, keys: Sequence[int]) -> list[Outgoing]:
        rows = connection.execute(_LOAD, {"keys": keys}).all()
        return [
            Outgoing(
                keys=tuple(row[0] for row in part),
                routing_key=part[0][2],
                body=b"\n".join(row[1] for row in part),
                content_type=CONTENT_TYPE,
            )
            for part in _parts(rows, self.most_per_message)
        ]

    def confirm(self, connection: Connection, keys: Sequence[int], now: int) -> None:
        confirm(connection, self.table, keys, now=now)


def _parts(rows: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    """``rows`` in messages of ``most`` tokens for one lane; of fewer, where no broker would take so many bytes."""
    part: list[Any] = []
    size = 0
    for row in rows:
        size += len(row[1]) + 1
        if part and (len(part) == most or size > LARGEST_MESSAGE or part[0][2] != row[2]):
            yield part
            part, size = [], len(row[1]) + 1
        part.append(row)
    if part:
        yield part
