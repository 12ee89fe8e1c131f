"""Accepting a letter: the first commit of its life.

    request ── checked (schema, type, directory) ──> one transaction: number, sign, letter, transmissions ──> 202

Everything that can be refused is refused before the transaction, with the reason. After it the letter will end, for
each recipient, in exactly one terminal outcome.

Before the checks comes the idempotency key: whoever repeats a request asks what became of it, and that does not
change with a recipient's suspension, a deadline that passes or a full disk. The transaction looks again, and has the
last word.

Invariants: the answer is given after the commit; the same idempotency key with the same content gets the same
answer, with other content ``idempotency_conflict``; no number is given twice.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, func, insert, select

from agency_adapter import numbers
from agency_adapter.directory_cache import DirectoryCache
from agency_adapter.mark import Mark
from agency_adapter.numbers import Direction
from agency_adapter.pace import Pace
from agency_adapter.room import Room
from agency_adapter.store.tables import letters, transmissions
from broker.clock import Clock
from broker.kill_points import KillPoint, passage
from broker.names import letter_routing_key
from broker.outbox import PENDING
from broker.writer import Writer
from schemas.composition import compose_letter
from schemas.delivery import TransmissionState
from schemas.envelope import Lane, LetterRequest, lane_of
from schemas.errors import ErrorCode, Refused
from schemas.identifiers import uuid7
from schemas.letter_checks import check_request
from trust import ijson
from trust.token import LIMITS, Signer, TokenType

LARGEST_REQUEST = LIMITS[TokenType.LETTER].payload - 4096
"""Bytes of a request as JSON: what the adapter adds (numbers, dates, identifiers) always finds room."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to an accepted letter.

    Attributes:
        letter_id: UUIDv7, the letter's identity everywhere.
        outgoing_no: its registry number.
        digest: of the signed letter, 64 hex digits.
        repeated: this answer was given before, to the same idempotency key.
    """

    letter_id: str
    outgoing_no: str
    digest: str
    repeated: bool = False


@dataclass(slots=True)
class _Pending:
    request: LetterRequest
    idempotency_key: str | None
    request_digest: str
    letter_id: str
    issued_at: datetime
    recipients: Sequence[tuple[str, str]]
    lane: Lane
    number: str = ""
    sequence: int | None = None
    claims: dict[str, Any] = field(default_factory=dict)


class Acceptance:
    """Takes letters from the API.

    Args:
        agency: code of the agency whose letters these are.
        writer: of the store.
        readings: an engine on the same store for looking without a transaction.
        signer: of the agency's ``seal`` key.
        directory: as the adapter knows it now.
        mark: beside the store.
        room: on the store's disk.
        clock: for times and identifiers.
    """

    def __init__(
        self,
        agency: str,
        writer: Writer,
        readings: Engine,
        signer: Signer,
        directory: DirectoryCache,
        mark: Mark,
        room: Room,
        clock: Clock,
    ) -> None:
        self._agency = agency
        self._writer = writer
        self._readings = readings
        self._signer = signer
        self._directory = directory
        self._mark = mark
        self._room = room
        self._clock = clock
        self._pace = Pace(clock)
        self.accepted = 0

    async def accept(self, request: LetterRequest, idempotency_key: str | None = None) -> Accepted:
        """Accept ``request`` for sending; returns after the commit.

        Raises:
            Refused: with the code and the place of what is wrong; nothing has been stored then.
        """
        content = request.model_dump_json().encode()
        request_digest = hashlib.sha256(content).hexdigest()
        if idempotency_key is not None and (given := self._given_before(idempotency_key, request_digest)) is not None:
            return given
        self._room.require()
        now = self._clock.now()
        check_request(request, self._agency, now)
        self._directory.check_sendable(request, self._agency)
        if len(content) > LARGEST_REQUEST:
            raise Refused(ErrorCode.PAYLOAD_TOO_LARGE, limit=LARGEST_REQUEST, size=len(content))
        pending = _Pending(
            request=request,
            idempotency_key=idempotency_key,
            request_digest=request_digest,
            letter_id=uuid7(self._clock.unix_ms(), secrets.token_bytes(10)),
            issued_at=request.issued_at or now,
            recipients=[(recipient.agency, recipient.role.value) for recipient in request.recipients],
            lane=lane_of(request.type, request.urgency),
        )
        accepted = await self._writer.submit(self._commit, pending)
        if not accepted.repeated:
            self.accepted += 1
            passage(KillPoint.LETTER_COMMITTED)
        return accepted

    def _given_before(self, key: str, request_digest: str) -> Accepted | None:
        with self._readings.connect() as connection:
            known = _answers(connection, [key]).get(key)
        return None if known is None else _replayed(known, request_digest)

    async def _commit(self, connection: Connection, items: Sequence[_Pending]) -> list[Accepted | Refused]:
        results: dict[int, Accepted | Refused] = {}
        leaders: dict[int, _Pending] = {}
        fresh = self._answer_known(connection, items, results, leaders)
        self._number(connection, fresh, results)
        fresh = [pending for pending in fresh if id(pending) not in results]
        if fresh:
            payloads = [self._compose(pending) for pending in fresh]
            signed = await self._signer.sign(TokenType.LETTER, payloads, int(self._clock.unix()))
            self._insert(connection, [(p, t.text, t.digest) for p, t in zip(fresh, signed, strict=True)])
            for pending, token in zip(fresh, signed, strict=True):
                results[id(pending)] = Accepted(pending.letter_id, pending.number, token.digest)
        for pending in items:
            if (leader := leaders.get(id(pending))) is not None:
                results[id(pending)] = _repeated(results[id(leader)])
        return [results[id(pending)] for pending in items]

    def _answer_known(
        self,
        connection: Connection,
        items: Sequence[_Pending],
        results: dict[int, Accepted | Refused],
        leaders: dict[int, _Pending],
    ) -> list[_Pending]:
        """Answer repeated idempotency keys; returns what is really new.

        A key that stands twice in the group gets its answer from the first (``leaders``).
        """
        keys = [pending.idempotency_key for pending in items if pending.idempotency_key is not None]
        known = _answers(connection, keys) if keys else {}
        fresh: list[_Pending] = []
        in_this_group: dict[str, _Pending] = {}
        for pending in items:
            key = pending.idempotency_key
            if key is None:
                fresh.append(pending)
            elif key in known:
                try:
                    results[id(pending)] = _replayed(known[key], pending.request_digest)
                except Refused as conflict:
                    results[id(pending)] = conflict
            elif key in in_this_group:
                if in_this_group[key].request_digest == pending.request_digest:
                    leaders[id(pending)] = in_this_group[key]
                else:
                    results[id(pending)] = Refused(ErrorCode.IDEMPOTENCY_CONFLICT)
            else:
                in_this_group[key] = pending
                fresh.append(pending)
        return fresh

    def _number(
        self, connection: Connection, fresh: Sequence[_Pending], results: dict[int, Accepted | Refused]
    ) -> None:
        wanting: dict[int, list[_Pending]] = {}
        own: set[tuple[int, str]] = set()
        for pending in fresh:
            year = numbers.year_of(pending.issued_at)
            number = pending.request.outgoing_no
            if number is None:
                wanting.setdefault(year, []).append(pending)
            elif (year, number) in own or _number_taken(connection, year, number):
                results[id(pending)] = Refused(
                    ErrorCode.OUTGOING_NUMBER_TAKEN, pointer="/outgoing_no", number=number, year=year
                )
            else:
                own.add((year, number))
                pending.number = number
        for year, group in wanting.items():
            left = list(group)
            while left:
                series = numbers.take(connection, Direction.OUTGOING, year, len(left))
                self._mark.reserve(Direction.OUTGOING, year, series[-1])
                by_number = {
                    numbers.written(self._agency, Direction.OUTGOING, year, sequence): sequence for sequence in series
                }
                # Numbers that the agency's own system used first are passed over; usually there are none.
                used = set(connection.execute(_NUMBERS_USED, {"year": year, "numbers": list(by_number)}).scalars())
                for number, sequence in by_number.items():
                    if number not in used and (year, number) not in own:
                        pending = left.pop(0)
                        pending.number, pending.sequence = number, sequence

    def _compose(self, pending: _Pending) -> bytes:
        pending.claims = compose_letter(
            pending.request,
            letter_id=pending.letter_id,
            outgoing_no=pending.number,
            sender_agency=self._agency,
            issued_at=pending.issued_at,
            thread_id=pending.request.thread_id or pending.letter_id,
        )
        return ijson.dump(pending.claims)

    def _insert(self, connection: Connection, signed: Sequence[tuple[_Pending, bytes, str]]) -> None:
        now = self._clock.unix_ms()
        last = connection.execute(_LAST_LETTER).scalar() or 0
        rows, consignments = [], []
        for seq, (pending, token, digest) in enumerate(signed, last + 1):
            claims = pending.claims
            expires_at = int(datetime.fromisoformat(claims["expires_at"]).timestamp() * 1000)
            rows.append(
                {
                    "seq": seq,
                    "letter_id": pending.letter_id,
                    "type": claims["type"],
                    "subject": claims["content"]["subject"],
                    "year": numbers.year_of(pending.issued_at),
                    "outgoing_no": pending.number,
                    "outgoing_sequence": pending.sequence,
                    "thread_id": claims["thread_id"],
                    "urgency": claims["urgency"],
                    "secrecy": claims["secrecy"],
                    "issued_at": int(pending.issued_at.timestamp() * 1000),
                    "accepted_at": now,
                    "expires_at": expires_at,
                    "digest": digest,
                    "idempotency_key": pending.idempotency_key,
                    "request_digest": pending.request_digest,
                    "epoch": self._mark.epoch,
                    "letter_jws": token,
                }
            )
            consignments += [
                {
                    "letter_seq": seq,
                    "recipient": recipient,
                    "role": role,
                    "digest": digest,
                    "state": TransmissionState.ACCEPTED.value,
                    "expires_at": expires_at,
                    "lane": letter_routing_key(recipient, pending.lane),
                    "relay_state": PENDING,
                    "due_at": due_at,
                }
                for (recipient, role), due_at in zip(
                    pending.recipients, self._pace.due(len(pending.recipients)), strict=True
                )
            ]
        connection.execute(_INSERT_LETTER, rows)
        connection.execute(_INSERT_TRANSMISSION, consignments)


# Run for each letter, or few: building a statement costs more than running it.
_LAST_LETTER = select(func.max(letters.c.seq))
_INSERT_LETTER = insert(letters)
_INSERT_TRANSMISSION = insert(transmissions)
_NUMBERS_USED = select(letters.c.outgoing_no).where(
    letters.c.year == bindparam("year"), letters.c.outgoing_no.in_(bindparam("numbers", expanding=True))
)
_ANSWERS = select(
    letters.c.idempotency_key,
    letters.c.request_digest,
    letters.c.letter_id,
    letters.c.outgoing_no,
    letters.c.digest,
).where(letters.c.idempotency_key.in_(bindparam("keys", expanding=True)))


def _answers(connection: Connection, keys: Sequence[str]) -> dict[str, tuple[str, Accepted]]:
    """By idempotency key the digest of the request that first bore it, and the answer that it got."""
    rows = connection.execute(_ANSWERS, {"keys": keys})
    return {row[0]: (row[1], Accepted(row[2], row[3], row[4], repeated=True)) for row in rows}


def _replayed(known: tuple[str, Accepted], request_digest: str) -> Accepted:
    """The answer given before, to the same content.

    Raises:
        Refused: ``idempotency_conflict``: the key stood for other content.
    """
    first_digest, accepted = known
    if first_digest != request_digest:
        raise Refused(ErrorCode.IDEMPOTENCY_CONFLICT)
    return accepted


def _repeated(answer: Accepted | Refused) -> Accepted | Refused:
    return replace(answer, repeated=True) if isinstance(answer, Accepted) else answer


def _number_taken(connection: Connection, year: int, number: str) -> bool:
    return (
        connection.execute(
            select(letters.c.seq).where(letters.c.year == year, letters.c.outgoing_no == number)
        ).scalar()
        is not None
    )
