"""Letters coming in: judge, commit with the receipts, acknowledge, answer.

One batch is one transaction: inbox rows, quarantine rows and the signed receipts for all of them. Only when that is
on the disk is the batch acknowledged, with one ack; only then do the receipts leave, through the relay.

Whether a letter is new is decided inside the transaction, in this order:

* its digest has been answered before: a duplicate. The stored receipt is sent again (at most once a minute);
* its (sender, id) is in the inbox with another digest: ``id_reused``, for the new digest alone;
* it is deliverable: into the inbox, *delivered*;
* it is not: into the quarantine, *not delivered* with its reason.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, bindparam, insert, select, update

from agency_adapter.directory_cache import DirectoryCache
from agency_adapter.judgement import Deliverable, Incident, Judged, Undeliverable, judge_letter
from agency_adapter.quarantine import Quarantine, Rejected, unauthentic
from agency_adapter.receipts import Answer, ReceiptDesk
from agency_adapter.store.tables import inbox, receipts_issued
from broker.clock import Clock
from broker.kill_points import KillPoint, passage
from broker.session import Delivery
from broker.writer import Writer
from schemas.envelope import Lane
from schemas.reasons import IncidentReason, NonDeliveryReason
from schemas.receipts import ReceiptEvent

STAGE = "inbox"
BREATH_BYTES = 256 * 1024
"""After judging so much the loop gets its turn: a batch of the largest letters takes seconds, and a connection whose
heartbeat stops is closed, upon which the same batch would come again."""

_log = structlog.get_logger("incoming")


@dataclass(frozen=True, slots=True)
class _Arrival:
    delivery: Delivery
    judged: Judged


@dataclass(slots=True)
class Tally:
    """How many messages ended how, since the start. Counted after the commit: an operation may run twice."""

    delivered: int = 0
    not_delivered: int = 0
    duplicates: int = 0
    incidents: int = 0

    def add(self, other: "Tally") -> None:
        self.delivered += other.delivered
        self.not_delivered += other.not_delivered
        self.duplicates += other.duplicates
        self.incidents += other.incidents


class Incoming:
    """Handlers for this agency's inbox queues.

    Args:
        agency: code of this agency.
        writer: of the store.
        directory: as the adapter knows it now.
        desk: signs receipts.
        quarantine: keeps what is not delivered.
        clock: for the instant of arrival.
    """

    def __init__(
        self,
        agency: str,
        writer: Writer,
        directory: DirectoryCache,
        desk: ReceiptDesk,
        quarantine: Quarantine,
        clock: Clock,
    ) -> None:
        self._agency = agency
        self._writer = writer
        self._directory = directory
        self._desk = desk
        self._quarantine = quarantine
        self._clock = clock
        self.tally = Tally()

    async def receive(self, lane: Lane, batch: Sequence[Delivery]) -> None:
        """Take one batch from the inbox queue of ``lane``; returns after the commit."""
        passage(KillPoint.RECEIVED_UNVERIFIED)
        self._directory.require_valid()
        arrivals: list[_Arrival] = []
        unrelieved = 0
        for delivery in batch:
            arrivals.append(_Arrival(delivery, self._judge(delivery, lane)))
            unrelieved += len(delivery.body)
            if unrelieved >= BREATH_BYTES:
                unrelieved = 0
                await asyncio.sleep(0)
        passage(KillPoint.VERIFIED_UNCOMMITTED)
        self.tally.add(await self._writer.submit(self._commit, arrivals))
        passage(KillPoint.COMMITTED_UNACKED)

    def _judge(self, delivery: Delivery, lane: Lane) -> Judged:
        try:
            return judge_letter(delivery, self._agency, lane, self._directory.current, self._clock.now())
        except Exception as error:  # noqa: BLE001 - see below
            # Content must never stop the mail. What judges wrongly by raising is kept with all its bytes.
            _log.exception("judging_failed", queue=delivery.queue, size=len(delivery.body))
            return Incident(IncidentReason.TOKEN_MALFORMED, f"judging failed: {type(error).__name__}")

    async def _commit(self, connection: Connection, groups: Sequence[Sequence[_Arrival]]) -> list[Tally]:
        arrivals = [arrival for group in groups for arrival in group]
        answered = self._answered(connection, arrivals)
        reused = self._ids_in_use(connection, arrivals)
        answers: list[Answer] = []
        rejected: list[Rejected] = []
        rows: list[dict[str, object]] = []
        repeated: list[str] = []
        copies: Counter[tuple[str, str | None, str]] = Counter()
        tally = Tally()
        now = self._clock.unix_ms()
        for arrival in arrivals:
            judged = arrival.judged
            if isinstance(judged, Incident):
                tally.incidents += 1
                rejected.append(
                    unauthentic(
                        arrival.delivery,
                        STAGE,
                        judged.reason,
                        judged.explanation,
                        claimed_sender=judged.claimed_sender,
                    )
                )
                continue
            if judged.digest in answered:
                tally.duplicates += 1
                repeated.append(judged.digest)
                copies[judged.sender, _letter_id(judged), judged.digest] += 1
                continue
            answered.add(judged.digest)
            if isinstance(judged, Deliverable) and reused.get(key := (judged.sender, judged.letter.id)):
                judged = Undeliverable(
                    NonDeliveryReason.ID_REUSED,
                    f"id stands for {reused[key]}",
                    judged.sender,
                    judged.digest,
                    judged.letter.id,
                    judged.letter.thread_id,
                )
            if isinstance(judged, Deliverable):
                tally.delivered += 1
                reused[judged.sender, judged.letter.id] = judged.digest
                rows.append(_inbox_row(judged, arrival.delivery.body, now))
                answers.append(
                    Answer(
                        ReceiptEvent.DELIVERED,
                        judged.sender,
                        judged.letter.id,
                        judged.letter.thread_id,
                        judged.digest,
                        {},
                    )
                )
            else:
                tally.not_delivered += 1
                rejected.append(_undelivered(arrival.delivery, judged))
                answers.append(
                    Answer(
                        ReceiptEvent.NOT_DELIVERED,
                        judged.sender,
                        judged.letter_id,
                        judged.thread_id,
                        judged.digest,
                        {"reason": judged.reason.value},
                    )
                )
        if rows:
            connection.execute(_INSERT, rows)
        if repeated:
            self._desk.repeat(connection, repeated)
            connection.execute(
                _COUNT_COPIES,
                [
                    {"from": sender, "id": letter_id, "key": digest, "more": count}
                    for (sender, letter_id, digest), count in copies.items()
                ],
            )
        await self._desk.issue(connection, answers)
        await self._quarantine.keep(connection, rejected)
        return [tally, *(Tally() for _ in groups[1:])]

    @staticmethod
    def _answered(connection: Connection, arrivals: Sequence[_Arrival]) -> set[str]:
        digests = [a.judged.digest for a in arrivals if not isinstance(a.judged, Incident)]
        if not digests:
            return set()
        return set(connection.execute(_ANSWERED, {"digests": digests}).scalars())

    @staticmethod
    def _ids_in_use(connection: Connection, arrivals: Sequence[_Arrival]) -> dict[tuple[str, str], str]:
        letters = [a.judged for a in arrivals if isinstance(a.judged, Deliverable)]
        if not letters:
            return {}
        senders = {judged.sender for judged in letters}
        rows = connection.execute(_IDS_IN_USE, {"senders": senders, "ids": [judged.letter.id for judged in letters]})
        return {(sender, letter_id): digest for sender, letter_id, digest in rows}


# Run for each letter, or few: building a statement costs more than running it.
_INSERT = insert(inbox)
_ANSWERED = select(receipts_issued.c.digest).where(
    receipts_issued.c.digest.in_(bindparam("digests", expanding=True)),
    receipts_issued.c.event.in_((ReceiptEvent.DELIVERED.value, ReceiptEvent.NOT_DELIVERED.value)),
)
_IDS_IN_USE = select(inbox.c.sender, inbox.c.letter_id, inbox.c.digest).where(
    # Not pairs, for which SQLite walks the whole inbox: what this finds besides them is never looked up.
    inbox.c.sender.in_(bindparam("senders", expanding=True)),
    inbox.c.letter_id.in_(bindparam("ids", expanding=True)),
)
_COUNT_COPIES = (
    update(inbox)
    # Sender and id are the index.
    .where(
        inbox.c.sender == bindparam("from"), inbox.c.letter_id == bindparam("id"), inbox.c.digest == bindparam("key")
    )
    .values(copies=inbox.c.copies + bindparam("more"))
)


def _letter_id(judged: Deliverable | Undeliverable) -> str | None:
    return judged.letter.id if isinstance(judged, Deliverable) else judged.letter_id


def _inbox_row(judged: Deliverable, body: bytes, now: int) -> dict[str, object]:
    letter = judged.letter
    return {
        "sender": judged.sender,
        "letter_id": letter.id,
        "digest": judged.digest,
        "type": letter.type,
        "subject": letter.content.subject if letter.content is not None else "",
        "outgoing_no": letter.outgoing_no,
        "thread_id": letter.thread_id,
        "role": judged.role,
        "lane": judged.lane.value,
        "urgency": letter.urgency.value,
        "secrecy": letter.secrecy.value,
        "issued_at": int(letter.issued_at_instant.timestamp() * 1000),
        "received_at": now,
        "state": "received",
        "letter_jws": body,
    }


def _undelivered(delivery: Delivery, judged: Undeliverable) -> Rejected:
    return Rejected(
        delivery,
        delivery.body,
        judged.reason.value,
        judged.explanation,
        STAGE,
        authentic=True,
        publisher=judged.sender,
        claimed_sender=judged.sender,
        digest=judged.digest,
        letter_id=judged.letter_id,
    )
