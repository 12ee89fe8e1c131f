"""Receipts coming in, for the letters that this agency sent.

Anyone may publish into anyone's notices, so the exchange says nothing here: a receipt is judged by its signature and
by the role of its signer alone. The recipient's adapter speaks about its own delivery, the authority about the rest.
What is not a receipt for a letter of ours, or comes from the wrong signer, is quarantined token by token and answered
to nobody; the other receipts of the same message count.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import structlog
from sqlalchemy import Connection, bindparam, insert, select, update

from agency_adapter.directory_cache import DirectoryCache
from agency_adapter.judgement import incident_reason, transport_incident
from agency_adapter.quarantine import Quarantine, Rejected, unauthentic
from agency_adapter.store.tables import letters, receipts_received, transmissions
from broker.clock import Clock
from broker.kill_points import KillPoint, passage
from broker.names import notice_routing_key
from broker.outbox import CLOSED
from broker.session import Delivery
from broker.writer import Writer
from schemas.delivery import TERMINAL_STATES, Effect, TransmissionState, advance
from schemas.directory import KeyPurpose
from schemas.errors import Refused
from schemas.identifiers import AUTHORITY
from schemas.reasons import IncidentReason
from schemas.receipts import AUTHORITY_EVENTS, RECIPIENT_EVENTS, Receipt, ReceiptEvent, parse_receipt
from trust.directory import Directory
from trust.errors import VerificationError
from trust.token import TokenType, open_token
from trust.verification import verify

STAGE = "notices"
MOST_TOKENS = 1024
"""In one message; what comes after is quarantined as one piece."""
MOST_FAULTS = 64
"""As many tokens as a relay of ours puts into one message. What follows so many faulty ones is quarantined as one
piece: otherwise a message of 3 KiB would fill the quarantine with a thousand rows and as many dead letters."""
LARGEST_PART = 512
"""Tokens judged and committed at once: 50 ms of work. A batch may hold 100,000, and a connection whose heartbeat stops
meanwhile is closed, upon which the same batch would come again."""

_log = structlog.get_logger(STAGE)


@dataclass(frozen=True, slots=True)
class _Genuine:
    """A receipt whose signer may say what it says. Whether the letter is ours, the store decides."""

    delivery: Delivery
    receipt: Receipt
    signer: str
    token: bytes
    token_digest: str


@dataclass(slots=True)
class NoticeTally:
    """What became of receipts, since the start; counted after the commit."""

    stored: int = 0
    repeated: int = 0
    conflicts: int = 0
    rejected: int = 0
    delivered_after_ms: list[int] = field(default_factory=list)
    """From acceptance to the stored *delivered*; the metrics take and empty it."""

    def add(self, other: "NoticeTally") -> None:
        self.stored += other.stored
        self.repeated += other.repeated
        self.conflicts += other.conflicts
        self.rejected += other.rejected
        self.delivered_after_ms += other.delivered_after_ms


class Notices:
    """Handler for this agency's ``notices`` queue.

    Args:
        agency: code of this agency.
        writer: of the store.
        directory: as the adapter knows it now.
        quarantine: keeps what is no receipt of ours.
        clock: for times of arrival.
    """

    def __init__(
        self,
        agency: str,
        writer: Writer,
        directory: DirectoryCache,
        quarantine: Quarantine,
        clock: Clock,
    ) -> None:
        self._agency = agency
        self._writer = writer
        self._directory = directory
        self._quarantine = quarantine
        self._clock = clock
        self.tally = NoticeTally()

    async def receive(self, batch: Sequence[Delivery]) -> None:
        """Take one batch from the notices queue; returns after the commit, or the commits of a large one."""
        self._directory.require_valid()
        judged = (item for delivery in batch for item in self._judge(delivery))
        part = list(islice(judged, LARGEST_PART))
        passage(KillPoint.RECEIPT_RECEIVED_UNCOMMITTED)
        while part:
            self.tally.add(await self._writer.submit(self._commit, part))
            part = list(islice(judged, LARGEST_PART))
        passage(KillPoint.RECEIPT_COMMITTED_UNACKED)

    def _judge(self, delivery: Delivery) -> Iterator[_Genuine | Rejected]:
        trick = transport_incident(delivery, notice_routing_key(self._agency))
        if trick is not None:
            yield unauthentic(delivery, STAGE, *trick)
            return
        lines = delivery.body.split(b"\n", MOST_TOKENS)
        faults = 0
        for number, line in enumerate(lines):
            if number == MOST_TOKENS or faults == MOST_FAULTS:
                explanation = f"follows {number} tokens of the same message, {faults} of them faulty"
                rest = b"\n".join(lines[number:])
                yield unauthentic(delivery, STAGE, IncidentReason.TOKEN_MALFORMED, explanation, body=rest)
                return
            judged = self._judge_line(delivery, line)
            faults += isinstance(judged, Rejected)
            yield judged

    def _judge_line(self, delivery: Delivery, line: bytes) -> _Genuine | Rejected:
        try:
            return self._judge_token(delivery, line, self._directory.current)
        except VerificationError as error:
            return unauthentic(delivery, STAGE, incident_reason(error), str(error), body=line)
        except Refused as refusal:
            return unauthentic(delivery, STAGE, IncidentReason.RECEIPT_MALFORMED, str(refusal), body=line)
        except Exception as error:  # noqa: BLE001 - see below
            # Content must never stop the mail; it is kept with all its bytes.
            _log.exception("judging_failed", queue=delivery.queue, size=len(line))
            explanation = f"judging failed: {type(error).__name__}"
            return unauthentic(delivery, STAGE, IncidentReason.RECEIPT_MALFORMED, explanation, body=line)

    def _judge_token(self, delivery: Delivery, line: bytes, directory: Directory) -> _Genuine | Rejected:
        token = open_token(line, TokenType.RECEIPT)
        key = directory.key(token.kid)
        purpose = KeyPurpose.RECEIPTS if key is not None and key.purpose == KeyPurpose.RECEIPTS else KeyPurpose.SEAL
        key = verify(token, directory, purpose=purpose, now=self._clock.now())
        receipt = parse_receipt(token.claims())
        # The authority speaks for the network with its receipts key; for letters to itself it is a recipient like any.
        allowed = (
            receipt.event in AUTHORITY_EVENTS and key.agency == AUTHORITY
            if key.purpose == KeyPurpose.RECEIPTS
            else receipt.event in RECIPIENT_EVENTS and key.agency == receipt.sub_id.recipient
        )
        if not allowed or receipt.iss != key.agency or receipt.aud != self._agency:
            return unauthentic(
                delivery,
                STAGE,
                IncidentReason.RECEIPT_WRONG_SIGNER,
                f"{key.agency} signed {receipt.event.value} of {receipt.sub_id.recipient} for {receipt.aud}",
                body=line,
                claimed_sender=key.agency,
            )
        return _Genuine(delivery, receipt, key.agency, line, token.digest)

    async def _commit(
        self, connection: Connection, groups: Sequence[Sequence[_Genuine | Rejected]]
    ) -> list[NoticeTally]:
        tally = NoticeTally()
        rejected = [item for group in groups for item in group if isinstance(item, Rejected)]
        genuine = [item for group in groups for item in group if isinstance(item, _Genuine)]
        ours = _find_transmissions(connection, genuine)
        seen = _find_tokens(connection, genuine)
        now = self._clock.unix_ms()
        fresh: list[dict[str, object]] = []
        repeated: list[dict[str, object]] = []
        touched: dict[int, _Transmission] = {}
        for item in genuine:
            transmission = ours.get((item.receipt.sub_id.digest, item.receipt.sub_id.recipient))
            if transmission is None:
                rejected.append(_unmatched(item))
            elif item.token_digest in seen:
                repeated.append({"token": item.token_digest})
            else:
                seen.add(item.token_digest)
                effect = transmission.apply(item.receipt, now, tally)
                fresh.append(_row(item, effect, now))
                touched[transmission.seq] = transmission
        if fresh:
            connection.execute(_INSERT, fresh)
            connection.execute(_UPDATE_TRANSMISSION, [item.values() for item in touched.values()])
        if repeated:
            connection.execute(_COUNT_COPY, repeated)
        await self._quarantine.keep(connection, rejected)
        tally.stored, tally.repeated, tally.rejected = len(fresh), len(repeated), len(rejected)
        return [tally, *(NoticeTally() for _ in groups[1:])]


# Run for each letter, or few: building a statement costs more than running it.
_INSERT = insert(receipts_received)
_FIND_TOKENS = select(receipts_received.c.token_digest).where(
    receipts_received.c.token_digest.in_(bindparam("digests", expanding=True))
)
_t = transmissions.c
_FIND_TRANSMISSIONS = (
    select(
        _t.digest,
        _t.recipient,
        _t.seq,
        _t.state,
        _t.reason,
        _t.ended_at,
        _t.registered_no,
        _t.conflicts,
        _t.relay_state,
        letters.c.accepted_at,
    )
    .join_from(transmissions, letters)
    .where(_t.digest.in_(bindparam("digests", expanding=True)))
)
_UPDATE_TRANSMISSION = (
    update(transmissions)
    .where(transmissions.c.seq == bindparam("key"))
    .values(
        state=bindparam("new_state"),
        reason=bindparam("new_reason"),
        ended_at=bindparam("new_ended_at"),
        registered_no=bindparam("new_registered_no"),
        conflicts=bindparam("new_conflicts"),
        relay_state=bindparam("new_relay_state"),
    )
)
_COUNT_COPY = (
    update(receipts_received)
    .where(receipts_received.c.token_digest == bindparam("token"))
    .values(copies=receipts_received.c.copies + 1)
)


@dataclass(slots=True)
class _Transmission:
    """The row that receipts change, while a batch is being applied."""

    seq: int
    state: TransmissionState
    reason: str | None
    ended_at: int | None
    registered_no: str | None
    conflicts: int
    relay_state: int
    accepted_at: int

    def apply(self, receipt: Receipt, now: int, tally: NoticeTally) -> Effect:
        """Move on by one receipt; a terminal one closes the outbox row for good."""
        step = advance(self.state, receipt.event, current_reason=self.reason)
        if step.effect is Effect.CONFLICT:
            self.conflicts += 1
            tally.conflicts += 1
        elif step.state is not self.state:
            self.state, self.reason = step.state, receipt.reason
            if step.state in TERMINAL_STATES:
                self.ended_at, self.relay_state = now, CLOSED
                if step.state is TransmissionState.DELIVERED:
                    tally.delivered_after_ms.append(now - self.accepted_at)
        if receipt.event is ReceiptEvent.REGISTERED and step.effect is not Effect.CONFLICT:
            self.registered_no = receipt.incoming_no
        return step.effect

    def values(self) -> dict[str, object]:
        return {
            "key": self.seq,
            "new_state": self.state.value,
            "new_reason": self.reason,
            "new_ended_at": self.ended_at,
            "new_registered_no": self.registered_no,
            "new_conflicts": self.conflicts,
            "new_relay_state": self.relay_state,
        }


def _find_transmissions(connection: Connection, genuine: Sequence[_Genuine]) -> dict[tuple[str, str], _Transmission]:
    digests = {item.receipt.sub_id.digest for item in genuine}
    if not digests:
        return {}
    rows = connection.execute(_FIND_TRANSMISSIONS, {"digests": digests})
    return {(row[0], row[1]): _Transmission(row[2], TransmissionState(row[3]), *tuple(row)[4:]) for row in rows}


def _find_tokens(connection: Connection, genuine: Sequence[_Genuine]) -> set[str]:
    if not genuine:
        return set()
    return set(connection.execute(_FIND_TOKENS, {"digests": [item.token_digest for item in genuine]}).scalars())


def _row(item: _Genuine, effect: Effect, now: int) -> dict[str, object]:
    receipt = item.receipt
    return {
        "jti": receipt.jti,
        "digest": receipt.sub_id.digest,
        "recipient": receipt.sub_id.recipient,
        "event": receipt.event.value,
        "signer": item.signer,
        "reason": receipt.reason,
        "occurred_at": receipt.toe * 1000,
        "received_at": now,
        "effect": effect.value,
        "token_digest": item.token_digest,
        "receipt_jws": item.token,
    }


def _unmatched(item: _Genuine) -> Rejected:
    return unauthentic(
        item.delivery,
        STAGE,
        IncidentReason.RECEIPT_UNMATCHED,
        "no letter of ours has this digest and recipient",
        body=item.token,
        claimed_sender=item.signer,
    )
