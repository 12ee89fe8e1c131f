"""The books: a reader of its own that accounts for every letter of a demonstration.

It shares no code with the adapters that wrote the stores. It opens them read-only with ``sqlite3``, believes no
column that it can compute from signed bytes, verifies every letter and every receipt with the directory, and
matches senders against recipients row by row.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from schemas.errors import Refused
from schemas.receipts import ReceiptEvent, parse_receipt
from trust.certificates import read_certificate
from trust.directory import Directory
from trust.token import TokenType, open_token
from trust.verification import verify

_OUTCOMES = {
    ReceiptEvent.DELIVERED: "delivered",
    ReceiptEvent.NOT_DELIVERED: "not_delivered",
    ReceiptEvent.REJECTED: "refused",
}
_CONFIRMED = 2


@dataclass(slots=True)
class Books:
    """The result. The last three figures and ``differences`` must be empty for the books to balance.

    Attributes:
        agencies: stores read.
        broker_users: users at the broker, as the demonstration counted them.
        accepted: letters in the senders' stores.
        transmissions: letter–recipient pairs that the signed letters name.
        delivered, not_delivered, refused: transmissions by their receipted outcome.
        left_over: transmissions without an outcome, and outbox rows not yet published.
        twice: letters that stand twice in an inbox, transmissions with two different outcomes.
        unverified: tokens whose signature, role or row does not hold.
        intruders: hostile messages, by agency, reason and publisher; no letter's state depends on them.
        differences: in words, what does not agree.
    """

    agencies: int = 0
    broker_users: int = 0
    accepted: int = 0
    transmissions: int = 0
    delivered: int = 0
    not_delivered: int = 0
    refused: int = 0
    left_over: int = 0
    twice: int = 0
    unverified: int = 0
    intruders: list[dict[str, Any]] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    @property
    def balanced(self) -> bool:
        """Sums agree, nothing is left over, nothing stands twice, everything verifies."""
        outcomes = self.delivered + self.not_delivered + self.refused + self.left_over
        return (
            outcomes == self.transmissions
            and not (self.left_over or self.twice or self.unverified)
            and not self.differences
        )


@dataclass(frozen=True, slots=True)
class _Letter:
    sender: str
    letter_id: str
    digest: str
    recipients: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Receipt:
    signer: str
    event: ReceiptEvent
    digest: str
    recipient: str
    token_digest: str


def read_books(folder: Path, now: datetime) -> Books:
    """Account for the demonstration in ``folder``.

    Args:
        folder: as ``tarasul authority bootstrap`` made it; the adapters have stopped.
        now: the instant at which keys are judged.

    Raises:
        Refused: when the directory cannot be opened or no store is there.
    """
    anchor = read_certificate(folder / "authority" / "root.pem")
    directory = Directory.open((folder / "authority" / "directory.jws").read_bytes(), [anchor], now)
    reader = _Reader(directory, now)
    for store in sorted((folder / "agencies").glob("*/store.db")):
        reader.read(store.parent.name, store)
    reader.match()
    users = folder / "broker-users.json"
    if users.exists():
        reader.books.broker_users = len(json.loads(users.read_text("utf-8")))
    return reader.books


def write_books(books: Books, file: Path) -> None:
    file.write_text(
        json.dumps(asdict(books) | {"balanced": books.balanced}, ensure_ascii=False, indent=2) + "\n", "utf-8"
    )


class _Reader:
    def __init__(self, directory: Directory, now: datetime) -> None:
        self.books = Books()
        self._directory = directory
        self._now = now
        self._sent: dict[tuple[str, str], _Letter] = {}
        self._states: dict[tuple[str, str], str] = {}
        self._received: dict[str, list[_Letter]] = {}
        self._received_receipts: dict[tuple[str, str], dict[str, _Receipt]] = {}
        self._issued_receipts: dict[tuple[str, str], dict[str, _Receipt]] = {}

    def read(self, agency: str, store: Path) -> None:
        self.books.agencies += 1
        with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as connection:
            connection.row_factory = sqlite3.Row
            self._read_letters(agency, connection)
            self._read_inbox(agency, connection)
            for row in _rows(connection, "SELECT * FROM receipts_received"):
                self._keep_receipt(self._received_receipts, f"{agency} received", row)
            for row in _rows(connection, "SELECT * FROM receipts_issued"):
                receipt = self._keep_receipt(self._issued_receipts, f"{agency} issued", row)
                if receipt is not None and receipt.signer != agency:
                    self._unverified(f"{agency} keeps a receipt of {receipt.signer} as its own")
            self._read_quarantine(agency, connection)
            for table in ("receipts_issued", "quarantine"):
                waiting = connection.execute(
                    f"SELECT count(*) FROM {table} WHERE relay_state < ?",  # noqa: S608 - names from above
                    (_CONFIRMED,),
                ).fetchone()[0]
                if waiting:
                    self.books.left_over += waiting
                    self.books.differences.append(f"{agency}: {waiting} rows of {table} were never published")

    def _read_letters(self, agency: str, connection: sqlite3.Connection) -> None:
        numbers: Counter[str] = Counter()
        for row in _rows(connection, "SELECT * FROM letters"):
            self.books.accepted += 1
            letter = self._letter(f"letter {row['letter_id']} of {agency}", row)
            if letter is None:
                continue
            if letter.sender != agency or letter.digest != row["digest"] or letter.letter_id != row["letter_id"]:
                self._unverified(f"letter {row['letter_id']} of {agency} is not what its row says")
                continue
            self._sent[agency, letter.digest] = letter
            numbers[f"{row['year']} {row['outgoing_no']}"] += 1
            rows = Counter(
                found["recipient"]
                for found in connection.execute(
                    "SELECT recipient FROM transmissions WHERE letter_seq = ?", (row["seq"],)
                )
            )
            if rows != Counter(letter.recipients):
                self.books.differences.append(f"letter {letter.letter_id} of {agency}: transmissions are missing")
            self.books.transmissions += len(letter.recipients)
        self._twice(count - 1 for count in numbers.values())
        for row in _rows(connection, "SELECT digest, recipient, state FROM transmissions"):
            self._states[row["digest"], row["recipient"]] = row["state"]

    def _read_inbox(self, agency: str, connection: sqlite3.Connection) -> None:
        letters: list[_Letter] = []
        numbers: Counter[str] = Counter()
        for row in _rows(connection, "SELECT * FROM inbox"):
            letter = self._letter(f"inbox row {row['letter_id']} of {agency}", row)
            if letter is None:
                continue
            if (letter.sender, letter.letter_id, letter.digest) != (
                row["sender"], row["letter_id"], row["digest"],
            ) or agency not in letter.recipients:  # fmt: skip
                self._unverified(f"inbox row {row['letter_id']} of {agency} is not what its letter says")
            letters.append(letter)
            if row["incoming_no"] is not None:
                numbers[f"{row['year']} {row['incoming_no']}"] += 1
        self._twice(count - 1 for count in Counter((i.sender, i.letter_id) for i in letters).values())
        self._twice(count - 1 for count in numbers.values())
        self._received[agency] = letters

    def _read_quarantine(self, agency: str, connection: sqlite3.Connection) -> None:
        for row in _rows(connection, "SELECT * FROM quarantine WHERE authentic = 0"):
            self.books.intruders.append(
                {
                    "at": agency,
                    "reason": row["reason"],
                    "publisher": row["publisher"],
                    "claimed_sender": row["claimed_sender"],
                    "copies": row["copies"],
                    "explanation": row["explanation"],
                }
            )

    def match(self) -> None:
        """Sender against recipient, receipt against row."""
        for (sender, digest), letter in self._sent.items():
            for recipient in letter.recipients:
                self._match_transmission(sender, digest, recipient)
        for recipient, letters in self._received.items():
            for letter in letters:
                if letter.sender in self._received and (letter.sender, letter.digest) not in self._sent:
                    self.books.differences.append(
                        f"{recipient} holds letter {letter.letter_id}, which {letter.sender} does not know"
                    )
                events = {r.event for r in self._issued_receipts.get((letter.digest, recipient), {}).values()}
                if ReceiptEvent.DELIVERED not in events:
                    self.books.differences.append(f"{recipient} holds {letter.letter_id} without a receipt for it")

    def _match_transmission(self, sender: str, digest: str, recipient: str) -> None:
        key = (digest, recipient)
        received = self._received_receipts.get(key, {})
        outcomes = {receipt.event for receipt in received.values() if receipt.event in _OUTCOMES}
        terminal = [receipt for receipt in received.values() if receipt.event in _OUTCOMES]
        if not outcomes:
            self.books.left_over += 1
            self.books.differences.append(f"{sender} to {recipient}: no outcome for {digest[:12]}")
            return
        if len(outcomes) > 1 or len(terminal) > 1:
            self._twice([len(terminal) - 1])
        outcome = _OUTCOMES[next(iter(outcomes))]
        setattr(self.books, outcome, getattr(self.books, outcome) + 1)
        if self._states.get(key) != outcome:
            self.books.differences.append(
                f"{sender} to {recipient}: row says {self._states.get(key)}, receipts say {outcome}"
            )
        holds = sum(letter.digest == digest for letter in self._received.get(recipient, []))
        if recipient in self._received and holds != (1 if outcome == "delivered" else 0):
            self.books.differences.append(
                f"{sender} to {recipient}: {outcome}, yet {holds} copies in the inbox ({digest[:12]})"
            )
        issued = self._issued_receipts.get(key, {})
        if recipient in self._received and set(issued) != {t for t, r in received.items() if r.signer == recipient}:
            self.books.differences.append(
                f"{sender} to {recipient}: receipts issued and received differ for {digest[:12]}"
            )

    def _letter(self, what: str, row: sqlite3.Row) -> _Letter | None:
        try:
            token = open_token(row["letter_jws"], TokenType.LETTER)
            key = verify(token, self._directory, purpose="seal", now=self._now)
            claims = token.claims()
        except Refused as refusal:
            self._unverified(f"{what}: {refusal}")
            return None
        recipients = frozenset(recipient["agency"] for recipient in claims["recipients"])
        if claims["sender"]["agency"] != key.agency:
            self._unverified(f"{what}: signed by {key.agency}")
            return None
        return _Letter(key.agency, claims["id"], token.digest, recipients)

    def _keep_receipt(
        self, shelf: dict[tuple[str, str], dict[str, _Receipt]], what: str, row: sqlite3.Row
    ) -> _Receipt | None:
        try:
            token = open_token(row["receipt_jws"], TokenType.RECEIPT)
            key = self._directory.key(token.kid)
            purpose = key.purpose if key is not None and key.purpose == "receipts" else "seal"
            key = verify(token, self._directory, purpose=purpose, now=self._now)
            claims = parse_receipt(token.claims())
        except Refused as refusal:
            self._unverified(f"{what} {row['jti']}: {refusal}")
            return None
        receipt = _Receipt(key.agency, claims.event, claims.sub_id.digest, claims.sub_id.recipient, token.digest)
        if claims.jti != row["jti"] or claims.sub_id.digest != row["digest"] or receipt.event != row["event"]:
            self._unverified(f"{what} {row['jti']}: the row is not what the receipt says")
        of_letter = shelf.setdefault((receipt.digest, receipt.recipient), {})
        if token.digest in of_letter:
            self._twice([1])
        of_letter[token.digest] = receipt
        return receipt

    def _unverified(self, difference: str) -> None:
        self.books.unverified += 1
        self.books.differences.append(difference)

    def _twice(self, surplus: Iterable[int]) -> None:
        self.books.twice += sum(surplus)


def _rows(connection: sqlite3.Connection, statement: str) -> list[sqlite3.Row]:
    return connection.execute(statement).fetchall()
