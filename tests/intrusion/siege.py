"""MOF and MPW at work while SAB's account is in hostile hands, and what must be true after every trick.

with siege.attack(Caught("x", IncidentReason.TOKEN_MALFORMED)):
    sab.publish("from.SAB", "MOF.routine", b"x")
"""

import asyncio
import base64
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from agency_adapter.quarantine import HEAD_BYTES
from broker.management import path
from broker.names import VHOST
from schemas.identifiers import uuid7
from schemas.reasons import IncidentReason, NonDeliveryReason
from schemas.receipts import ReceiptEvent, build_receipt
from schemas.statements import parse_dead_letter
from tests.behaviour.bed import claims_of
from tests.support.adapters import Bed, eventually
from tests.support.raw_client import RawClient
from trust import ijson
from trust.certificates import read_certificate
from trust.keys import FileKey
from trust.offline import examine
from trust.token import LIMITS, Signer, TokenType, identity_of

CODES = ("MPW", "MOF", "SAB")
WATCHED = ("MPW", "MOF")
TRUTH = {
    "inbox": "sender, digest, copies, state",
    "transmissions": "recipient, digest, state, coalesce(reason, ''), conflicts",
    "receipts_issued": "addressee, digest, event, coalesce(reason, '')",
    "receipts_received": "recipient, digest, event, effect, copies",
}
"""Columns of a store that no trick may change."""

Rows = Counter[tuple[Any, ...]]


def intruder(bed: Bed) -> RawClient:
    """A raw client with SAB's real account. The broker takes its time to forget the last one."""
    keys = bed.agency("SAB") / "keys"

    def enter() -> RawClient | None:
        with contextlib.suppress(ConnectionError):
            return RawClient(
                bed.node.amqps_port,
                certificate=keys / "transport.pem",
                key=keys / "transport.key",
                authority=bed.agency("SAB") / "root.pem",
            )
        return None

    client = eventually(enter, "a connection for the intruder")
    assert client is not None
    return client


@dataclass(frozen=True)
class Caught:
    """One row that must stand in a quarantine, and the dead letter that goes with it."""

    body: bytes
    reason: IncidentReason | NonDeliveryReason
    at: str = "MOF"
    queue: str = "inbox.MOF.routine"
    publisher: str | None = "SAB"
    exchange: str = "from.SAB"
    copies: int = 1

    @property
    def row(self) -> tuple[Any, ...]:
        kept = self.body if len(self.body) <= LIMITS[TokenType.LETTER].token else self.body[:HEAD_BYTES]
        return (self.queue, self.exchange, self.reason.value, self.publisher, len(self.body), kept, self.copies)


@dataclass(frozen=True)
class Answered:
    """A receipt that MOF owes SAB for an authentic letter: with a reason, or *delivered*."""

    letter: bytes
    reason: NonDeliveryReason | None = None

    @property
    def row(self) -> tuple[Any, ...]:
        if self.reason is None:
            return ("SAB", identity_of(self.letter), "delivered", "")
        return ("SAB", identity_of(self.letter), "not_delivered", self.reason.value)


@dataclass
class Siege:
    """The agencies at work, and the bytes that an intruder may have got hold of.

    Attributes:
        genuine: a letter of MPW to MOF with a copy to SAB.
        receipt: MOF's receipt for it.
    """

    bed: Bed
    genuine: bytes = b""
    receipt: bytes = b""
    _sent: int = 0
    _healthy: list[str] = field(default_factory=list)

    def begin(self) -> "Siege":
        """Start both adapters and let the first letter arrive."""
        for code in WATCHED:
            self.bed.begin(code)
        for code in WATCHED:
            self.bed.adapter(code).wait_ready()
        mpw = self.bed.adapter("MPW")
        first = mpw.send("first", ["MOF", "SAB"]).body["id"]
        eventually(lambda: mpw.state(first, "MOF") == "delivered", self.bed.tails)
        eventually(lambda: mpw.state(first, "SAB") == "sent", self.bed.tails)
        [(self.genuine,)] = mpw.rows("SELECT letter_jws FROM letters")
        [(self.receipt,)] = mpw.rows("SELECT receipt_jws FROM receipts_received")
        return self

    # What SAB, which has keys like any agency, can make

    def sign(self, claims: dict[str, Any] | bytes, typ: TokenType = TokenType.LETTER, *, key: str = "seal") -> bytes:
        """A token signed with a real key of SAB."""
        keys = self.bed.agency("SAB") / "keys"
        signer = Signer(FileKey(keys / f"{key}.key", keys / f"{key}.pem"))
        payload = claims if isinstance(claims, bytes) else ijson.dump(claims)
        [token] = asyncio.run(signer.sign(typ, [payload], int(time.time())))
        return token.text

    def letter(self, **members: Any) -> bytes:
        """A letter from SAB to MOF, in order but for ``members``."""
        claims = claims_of(self.genuine) | {
            "id": uuid7(int(time.time() * 1000), secrets.token_bytes(10)),
            "sender": {"agency": "SAB"},
            "recipients": [{"agency": "MOF", "role": "to"}],
        }
        return self.sign(claims | members)

    def claims_of_receipt(self) -> dict[str, Any]:
        """What SAB would say about MPW's letter to MOF: that it was not delivered."""
        return build_receipt(
            event=ReceiptEvent.NOT_DELIVERED,
            issuer="SAB",
            audience="MPW",
            jti=uuid7(int(time.time() * 1000), secrets.token_bytes(10)),
            issued_at=int(time.time()),
            occurred_at=int(time.time()),
            thread_id=None,
            letter_id=claims_of(self.genuine)["id"],
            recipient="MOF",
            digest=self.digest,
            details={"reason": "not_addressed"},
        )

    # What must be true

    @contextlib.contextmanager
    def attack(self, *caught: Caught, answered: Sequence[Answered] = (), repeated: int = 0) -> Iterator[None]:
        """Whatever is published in the block ends as is said here, and nothing else has changed.

        Args:
            caught: every new row of the quarantines.
            answered: every receipt that it causes at MOF.
            repeated: by how many copies MOF's stored receipt at MPW is repeated.
        """
        self._healthy.clear()
        before, kept, connects = self._truth(), self._quarantines(), self._connections()
        yield
        wanted = Counter((each.at, *each.row) for each in caught)
        self._await_copies(sum(row[-1] for row in kept.elements()) + sum(each.copies for each in caught))
        for urgency in ("ROUTINE", "URGENT"):
            self.healthy(urgency)
        found = self._quarantines() - kept
        assert found == wanted, f"missing {_shown(wanted - found)}, not expected {_shown(found - wanted)}"
        after = self._truth()
        if repeated:
            [row] = [row for row in before["MPW.receipts_received"] if row[1] == self.digest]
            before["MPW.receipts_received"] -= Counter([row])
            before["MPW.receipts_received"] += Counter([(*row[:-1], row[-1] + repeated)])
        for name, rows in before.items():
            wanted, found = self._added(name, answered), after[name] - rows
            assert found == wanted, f"{name} missing {_shown(wanted - found)}, not expected {_shown(found - wanted)}"
            assert not rows - after[name], f"{name} gone {_shown(rows - after[name])}"
        assert self._connections() == connects
        for code in WATCHED:
            adapter = self.bed.adapter(code)
            assert adapter.running
            assert adapter.get("/readyz").status == 200
            assert "judging_failed" not in adapter.log.read_text("utf-8")
            self._check_dead_letters(code, [each for each in caught if each.at == code])

    @property
    def digest(self) -> str:
        return identity_of(self.genuine)

    def _added(self, name: str, answered: Sequence[Answered]) -> Rows:
        rows: dict[str, list[tuple[Any, ...]]] = {
            "MPW.transmissions": [("MOF", digest, "delivered", "", 0) for digest in self._healthy],
            "MPW.receipts_received": [("MOF", digest, "delivered", "advanced", 1) for digest in self._healthy],
            "MOF.inbox": [
                *(("MPW", digest, 1, "received") for digest in self._healthy),
                *(("SAB", identity_of(each.letter), 1, "received") for each in answered if each.reason is None),
            ],
            "MOF.receipts_issued": [
                *(("MPW", digest, "delivered", "") for digest in self._healthy),
                *(each.row for each in answered),
            ],
        }
        return Counter(rows.get(name, []))

    def healthy(self, urgency: str = "ROUTINE") -> None:
        """A letter of the usual kind, from MPW to MOF, is delivered."""
        mpw = self.bed.adapter("MPW")
        self._sent += 1
        reply = mpw.send(f"healthy-{self._sent}", ["MOF"], urgency=urgency)
        assert reply.status == 202, reply
        letter = str(reply.body["id"])
        eventually(lambda: mpw.state(letter, "MOF") == "delivered", self.bed.tails)
        [(digest,)] = mpw.rows("SELECT digest FROM letters WHERE letter_id = ?", letter)
        self._healthy.append(str(digest))

    def _truth(self) -> dict[str, Rows]:
        return {
            f"{code}.{table}": Counter(self.bed.adapter(code).rows(f"SELECT {columns} FROM {table}"))  # noqa: S608
            for code in WATCHED
            for table, columns in TRUTH.items()
        }

    def _connections(self) -> dict[str, list[str]]:
        """How often each adapter has connected so far: no trick may cost it its connection."""
        return {
            code: [
                line
                for line in self.bed.adapter(code).get("/metrics").body.splitlines()
                if line.startswith("tarasul_session_connects_total")
            ]
            for code in WATCHED
        }

    # Quarantine and dead letters

    def _quarantines(self) -> Rows:
        return Counter(
            (code, *row)
            for code in WATCHED
            for row in self.bed.adapter(code).rows(
                "SELECT queue, exchange, reason, publisher, size, body, copies FROM quarantine"
            )
        )

    def _await_copies(self, count: int) -> None:
        def found() -> int:
            return sum(
                self.bed.adapter(code).rows("SELECT coalesce(sum(copies), 0) FROM quarantine")[0][0] for code in WATCHED
            )

        eventually(lambda: found() >= count, lambda: f"{count} in the quarantines, not {found()}\n{self.bed.tails()}")

    def take(self, queue: str, count: int) -> list[dict[str, Any]]:
        """The next ``count`` messages of ``queue``, as the management interface shows them; they are gone then."""
        found: list[dict[str, Any]] = []
        order = {"count": 1000, "ackmode": "ack_requeue_false", "encoding": "base64"}

        def enough() -> bool:
            with self.bed.management() as management:
                found.extend(management.post(f"{path('queues', VHOST, queue)}/get", order))
            return len(found) >= count

        eventually(enough, lambda: f"{count} messages in {queue}, not {len(found)}\n{self.bed.tails()}")
        return found

    def _check_dead_letters(self, code: str, caught: Sequence[Caught]) -> None:
        """Each has the original bytes, and a statement that anybody can verify."""
        found = self.take(f"dead-letter.{code}", len(caught))
        root = read_certificate(self.bed.agency(code) / "root.pem")
        directory = (self.bed.agency(code) / "directory.jws").read_bytes()
        seen: Counter[tuple[Any, ...]] = Counter()
        for message in found:
            statement = str(message["properties"]["headers"]["statement"]).encode()
            examination = examine(statement, [root], directory, datetime.now(UTC))
            assert (examination.verified, examination.kind) == (True, "dead_letter"), examination
            said = parse_dead_letter(claims_of(statement))
            assert (message["exchange"], said.iss, said.recipient) == (f"from.{code}", code, code)
            seen[base64.b64decode(message["payload"]), said.reason, said.exchange, said.digest] += 1
        assert seen == Counter(
            (each.row[5], each.reason.value, each.exchange, identity_of(each.body)) for each in caught
        )


def _shown(rows: Rows) -> list[tuple[Any, ...]]:
    return [tuple(value[:60] if isinstance(value, bytes) else value for value in row) for row in rows.elements()]
