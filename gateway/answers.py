"""What the authority says about dead letters: receipts and incident notices, signed, stored, and on their way."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select

from broker.clock import Clock
from broker.kill_points import KillPoint
from broker.names import notice_routing_key, order_routing_key
from broker.outbox import PENDING, confirm
from broker.publishing import Outgoing
from gateway.audit import Judgement
from gateway.store import tables
from gateway.verdict import Verdict
from schemas.identifiers import AUTHORITY, uuid7
from schemas.incidents import build_incident
from schemas.receipts import ReceiptEvent, build_receipt
from trust import ijson
from trust.token import Signer, TokenType

RECEIPTS_TYPE = "application/vnd.tarasul.receipts"
INCIDENT_TYPE = "application/jose"
_EVENT = {Verdict.REFUSED: ReceiptEvent.REJECTED, Verdict.HELD: ReceiptEvent.HELD}


@dataclass(frozen=True, slots=True)
class Judged:
    """A dead letter with its judgement. ``seq`` is its row, ``received_at`` in Unix milliseconds."""

    seq: int
    routing_key: str
    received_at: int
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class _Draft:
    seq: int
    typ: TokenType
    kind: str
    addressee: str
    lane: str
    digest: str
    recipient: str
    jti: str
    claims: dict[str, Any]


class AnswerDesk:
    """Signs answers and puts them into the outbox, within the caller's transaction.

    Each is given once: the same answer about the same digest to the same agency is not signed again.
    """

    def __init__(self, signer: Signer, clock: Clock) -> None:
        self._signer = signer
        self._clock = clock

    async def issue(self, connection: Connection, judged: Sequence[Judged]) -> int:
        """Answer what is to be answered; returns how many answers are new."""
        given: set[tuple[str, str, str, str]] = set()
        drafts: list[_Draft] = []
        for item in judged:
            for draft in self._drafts(item):
                key = (draft.addressee, draft.kind, draft.digest, draft.recipient)
                if key not in given and not _known(connection, key):
                    given.add(key)
                    drafts.append(draft)
        now = self._clock.unix_ms()
        last = connection.execute(select(func.max(tables.answers.c.seq))).scalar() or 0
        for typ in (TokenType.RECEIPT, TokenType.INCIDENT):
            part = [draft for draft in drafts if draft.typ is typ]
            signed = await self._signer.sign(typ, [ijson.dump(draft.claims) for draft in part], now // 1000)
            for draft, token in zip(part, signed, strict=True):
                last += 1
                connection.execute(
                    insert(tables.answers).values(
                        seq=last,
                        jti=draft.jti,
                        dead_letter_seq=draft.seq,
                        addressee=draft.addressee,
                        kind=draft.kind,
                        digest=draft.digest,
                        recipient=draft.recipient,
                        answer_jws=token.text,
                        lane=draft.lane,
                        relay_state=PENDING,
                        due_at=now,
                    )
                )
        return len(drafts)

    def _drafts(self, item: Judged) -> list[_Draft]:
        judgement, now = item.judgement, self._clock.unix_ms()
        drafts: list[_Draft] = []
        event = _EVENT.get(judgement.verdict)
        if event is not None and judgement.addressee is not None and judgement.recipient is not None:
            jti = uuid7(now, secrets.token_bytes(10))
            details = {"reason": judgement.reason} | ({"until": judgement.until} if judgement.until else {})
            claims = build_receipt(
                event=event,
                issuer=AUTHORITY,
                audience=judgement.addressee,
                jti=jti,
                issued_at=now // 1000,
                occurred_at=now // 1000,
                thread_id=judgement.thread_id,
                letter_id=judgement.letter_id,
                recipient=judgement.recipient,
                digest=judgement.digest,
                details=details,
            )
            lane = notice_routing_key(judgement.addressee)
            drafts.append(
                _Draft(
                    item.seq,
                    TokenType.RECEIPT,
                    event.value,
                    judgement.addressee,
                    lane,
                    judgement.digest,
                    judgement.recipient,
                    jti,
                    claims,
                )
            )
        for agency in judgement.warned:
            jti = uuid7(now, secrets.token_bytes(10))
            reason = judgement.reason if judgement.verdict is Verdict.INCIDENT else "foreign_exchange"
            claims = build_incident(
                issuer=AUTHORITY,
                audience=agency,
                jti=jti,
                issued_at=now // 1000,
                digest=judgement.digest,
                reason=reason,
                routing_key=_safe(item.routing_key),
                received_at=item.received_at // 1000,
            )
            lane = order_routing_key(agency)
            drafts.append(
                _Draft(item.seq, TokenType.INCIDENT, "incident", agency, lane, judgement.digest, "", jti, claims)
            )
        return drafts


def _known(connection: Connection, key: tuple[str, str, str, str]) -> bool:
    a = tables.answers.c
    found = connection.execute(
        select(a.seq).where(a.addressee == key[0], a.kind == key[1], a.digest == key[2], a.recipient == key[3])
    )
    return found.scalar() is not None


def _safe(routing_key: str) -> str:
    """A key that anybody may have chosen, as printable ASCII: a strict reader must take our own notice."""
    return "".join(char if " " <= char <= "~" else ascii(char)[1:-1] for char in routing_key)[:255]


class AnswerOutbox:
    """The answers as the relay sees them."""

    name = "answers"
    most_per_message = 1
    claimed_point: KillPoint | None = None
    published_point: KillPoint | None = None
    confirmed_point: KillPoint | None = None

    @property
    def table(self) -> Table:
        return tables.answers

    def load(self, connection: Connection, keys: Sequence[int]) -> list[Outgoing]:
        a = tables.answers.c
        rows = connection.execute(select(a.seq, a.lane, a.answer_jws, a.kind).where(a.seq.in_(keys)).order_by(a.seq))
        return [
            Outgoing((row[0],), row[1], bytes(row[2]), INCIDENT_TYPE if row[3] == "incident" else RECEIPTS_TYPE)
            for row in rows
        ]

    def confirm(self, connection: Connection, keys: Sequence[int], now: int) -> None:
        confirm(connection, self.table, keys, now=now)
