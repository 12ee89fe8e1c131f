"""The quarantine: what this adapter gave up on, kept as it came, and its way to the authority as a dead letter.

A row is written in the same transaction as the receipt that speaks of it (if the sender is owed one), before the
message is acknowledged. It is also an outbox row: the relay publishes the original bytes with a signed statement.
The same bytes arriving again raise a count, so that a flood cannot fill the disk with copies.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Table, select, update
from sqlalchemy.dialects.sqlite import insert

from agency_adapter.judgement import publisher_of
from agency_adapter.store import tables
from broker.clock import Clock
from broker.names import DEAD_LETTER_ROUTING_KEY
from broker.outbox import PENDING, confirm
from broker.publishing import Outgoing
from broker.session import Delivery
from schemas.reasons import IncidentReason
from schemas.statements import build_dead_letter
from trust import ijson
from trust.token import LIMITS, Signer, TokenType, identity_of

HEAD_BYTES = 64 * 1024
"""Kept and published of a body that no token may be as large as."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """One message, or one token of a message, to be put aside.

    Attributes:
        delivery: as it arrived.
        body: the part of it that is put aside.
        reason: an incident or non-delivery reason code.
        explanation: for the operator.
        stage: where it was found: ``inbox``, ``notices`` or ``orders``.
        authentic: signed by its publisher.
        publisher, claimed_sender, digest, letter_id: as far as they are known.
    """

    delivery: Delivery
    body: bytes
    reason: str
    explanation: str
    stage: str
    authentic: bool
    publisher: str | None = None
    claimed_sender: str | None = None
    digest: str | None = None
    letter_id: str | None = None


def unauthentic(
    delivery: Delivery,
    stage: str,
    reason: IncidentReason,
    explanation: str,
    *,
    body: bytes | None = None,
    claimed_sender: str | None = None,
) -> Rejected:
    """What nobody is answered about: ``body``, or all of ``delivery``, is not its publisher's word, or nobody's."""
    body = delivery.body if body is None else body
    return Rejected(
        delivery,
        body,
        reason.value,
        explanation,
        stage,
        authentic=False,
        publisher=publisher_of(delivery),
        claimed_sender=claimed_sender,
        digest=identity_of(body),
    )


class Quarantine:
    """Stores what is rejected, within the caller's transaction."""

    def __init__(self, agency: str, signer: Signer, clock: Clock) -> None:
        self._agency = agency
        self._signer = signer
        self._clock = clock
        self.kept = 0

    async def keep(self, connection: Connection, rejected: Sequence[Rejected]) -> None:
        if not rejected:
            return
        table = tables.quarantine
        now = self._clock.unix_ms()
        fresh: dict[tuple[str, str, str, str], Rejected] = {}
        copies: dict[tuple[str, str, str, str], int] = {}
        for item in rejected:
            body_digest = hashlib.sha256(item.body).hexdigest()
            key = (body_digest, item.delivery.queue, item.delivery.exchange, item.reason)
            copies[key] = copies.get(key, 0) + 1
            fresh.setdefault(key, item)
        for key in list(fresh):
            known = connection.execute(
                update(table)
                .where(
                    table.c.body_digest == key[0],
                    table.c.queue == key[1],
                    table.c.exchange == key[2],
                    table.c.reason == key[3],
                )
                .values(copies=table.c.copies + copies[key], last_at=now)
            ).rowcount
            if known:
                del fresh[key]
        if not fresh:
            return
        payloads = [
            ijson.dump(
                build_dead_letter(
                    agency=self._agency,
                    recipient=self._agency,
                    digest=item.digest or key[0],
                    reason=item.reason,
                    stage=item.stage,
                    attempts=copies[key],
                    exchange=item.delivery.exchange,
                    routing_key=item.delivery.routing_key[:255],
                    received_at=now // 1000,
                    given_up_at=now // 1000,
                )
            )
            for key, item in fresh.items()
        ]
        statements = await self._signer.sign(TokenType.DEAD_LETTER, payloads, now // 1000)
        for (key, item), statement in zip(fresh.items(), statements, strict=True):
            whole = len(item.body) <= LIMITS[TokenType.LETTER].token
            connection.execute(
                insert(table).values(
                    body_digest=key[0],
                    digest=item.digest,
                    authentic=int(item.authentic),
                    reason=item.reason,
                    explanation=item.explanation[:500],
                    stage=item.stage,
                    publisher=item.publisher,
                    claimed_sender=item.claimed_sender,
                    letter_id=item.letter_id,
                    queue=item.delivery.queue,
                    exchange=item.delivery.exchange,
                    routing_key=item.delivery.routing_key,
                    received_at=now,
                    last_at=now,
                    copies=copies[key],
                    size=len(item.body),
                    body=item.body if whole else item.body[:HEAD_BYTES],
                    statement_jws=statement.text,
                    lane=DEAD_LETTER_ROUTING_KEY,
                    relay_state=PENDING,
                    due_at=now,
                )
            )
        self.kept += len(fresh)


class DeadLetterOutbox:
    """The quarantine as the relay sees it."""

    name = "dead_letters"
    most_per_message = 1
    claimed_point = None
    published_point = None
    confirmed_point = None

    @property
    def table(self) -> Table:
        return tables.quarantine

    def load(self, connection: Connection, keys: Sequence[int]) -> list[Outgoing]:
        table = tables.quarantine
        rows = connection.execute(
            select(table.c.seq, table.c.body, table.c.statement_jws, table.c.lane)
            .where(table.c.seq.in_(keys))
            .order_by(table.c.seq)
        )
        return [
            Outgoing(
                keys=(row[0],),
                routing_key=row[3],
                body=row[1],
                content_type="application/octet-stream",
                statement=row[2].decode("ascii"),
            )
            for row in rows
        ]

    def confirm(self, connection: Connection, keys: Sequence[int], now: int) -> None:
        confirm(connection, self.table, keys, now=now)
