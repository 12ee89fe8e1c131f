"""The books: a reader of its own that accounts for every letter of a demonstration.

It shares no code with the adapters that wrote the stores. It opens them read-only with ``sqlite3``, believes no
column that it can compute from signed bytes, verifies every letter and every receipt with the directory, and
matches senders against recipients row by row, in both directions: what a sender says of a letter must stand in the
recipient's store, and what a recipient holds or has answered must stand in the sender's.
"""

import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from deploy.demo.account import Books
from deploy.demo.record import Published, read_record
from schemas.errors import ErrorCode, Refused
from schemas.identifiers import AUTHORITY
from schemas.receipts import AUTHORITY_EVENTS, RECIPIENT_EVENTS, ReceiptEvent, parse_receipt
from trust.certificates import read_certificate
from trust.directory import Directory
from trust.token import OpenedToken, TokenType, open_token
from trust.verification import verify

_OUTCOMES = {
    ReceiptEvent.DELIVERED: "delivered",
    ReceiptEvent.NOT_DELIVERED: "not_delivered",
    ReceiptEvent.REJECTED: "refused",
}
_CONFIRMED, _CLOSED = 2, 3


@dataclass(frozen=True, slots=True)
class _Letter:
    sender: str
    letter_id: str
    outgoing_no: str
    digest: str
    recipients: frozenset[str]
    incoming_no: str | None = None


@dataclass(frozen=True, slots=True)
class _Receipt:
    signer: str
    event: ReceiptEvent
    addressee: str
    digest: str
    recipient: str
    incoming_no: str | None
    token_digest: str

    @property
    def terminal(self) -> bool:
        return self.event in _OUTCOMES


_Shelf = dict[tuple[str, str, str], dict[str, _Receipt]]
"""Receipts by (agency whose store they stand in, digest of the letter, recipient), each by the digest of its token."""


def read_books(folder: Path, now: datetime) -> Books:
    """Account for the demonstration in ``folder``.

    Args:
        folder: as ``tarasul authority bootstrap`` made it; the adapters have stopped.
        now: the instant at which keys are judged.

    Raises:
        Refused: when the directory cannot be opened; ``file_unreadable`` when no store is there, as nothing would
            then balance with nothing.
    """
    anchor = read_certificate(folder / "authority" / "root.pem")
    signed = folder / "authority" / "directory.jws"
    try:
        directory = Directory.open(signed.read_bytes(), [anchor], now)
    except OSError as error:
        raise Refused(ErrorCode.DIRECTORY_UNREADABLE, path=str(signed)) from error
    reader = _Reader(directory, now)
    stores = sorted((folder / "agencies").glob("*/store.db"))
    if not stores:
        raise Refused(
            ErrorCode.FILE_UNREADABLE,
            path=str(folder / "agencies" / "*" / "store.db"),
            problem_ar="لا مخزن",
            problem="no store",
        )
    for store in stores:
        try:
            reader.read(store.parent.name, store)
        except sqlite3.Error as error:
            reader.unverified(f"the store of {store.parent.name} cannot be read: {error}")
    reader.match()
    record = folder / "authority" / "authority.db"
    if record.exists():
        reader.compare_record(record)
    users = folder / "broker-users.json"
    if users.exists():
        reader.books.broker_users = len(json.loads(users.read_text("utf-8")))
    return reader.books


class _Reader:
    def __init__(self, directory: Directory, now: datetime) -> None:
        self.books = Books()
        self._directory = directory
        self._now = now
        self._sent: dict[tuple[str, str], _Letter] = {}
        self._states: dict[tuple[str, str, str], tuple[str, int]] = {}
        self._received: dict[str, list[_Letter]] = {}
        self._given_up: dict[str, set[str]] = {}
        self._received_receipts: _Shelf = {}
        self._issued_receipts: _Shelf = {}
        self.published: set[Published] = set()

    def read(self, agency: str, store: Path) -> None:
        self.books.agencies += 1
        with contextlib.closing(sqlite3.connect(f"{store.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            # One instant of the store, should somebody still write to it.
            connection.execute("BEGIN")
            self._read_letters(agency, connection)
            self._read_inbox(agency, connection)
            for row in _rows(connection, "SELECT * FROM receipts_received"):
                receipt = self._keep_receipt(self._received_receipts, agency, "received", row)
                if receipt is not None and receipt.addressee != agency:
                    self.unverified(f"{agency} received a receipt for {receipt.addressee}")
            for row in _rows(connection, "SELECT * FROM receipts_issued"):
                receipt = self._keep_receipt(self._issued_receipts, agency, "issued", row)
                if receipt is not None and receipt.signer != agency:
                    self.unverified(f"{agency} keeps a receipt of {receipt.signer} as its own")
                if receipt is not None and _is_published(row):
                    self.published.add(Published(receipt.token_digest, row["lane"], agency))
            self._read_quarantine(agency, connection)
            for table in ("receipts_issued", "quarantine"):
                rows = _rows(connection, f"SELECT relay_state FROM {table}")  # noqa: S608 - names from above
                waiting = sum(not _is_published(row) for row in rows)
                if waiting:
                    self.books.left_over += waiting
                    self.books.differences.append(f"{agency}: {waiting} rows of {table} were never published")

    def _read_letters(self, agency: str, connection: sqlite3.Connection) -> None:
        numbers: Counter[str] = Counter()
        identities: Counter[str] = Counter()
        consignments = 0
        for row in _rows(connection, "SELECT * FROM letters"):
            self.books.accepted += 1
            letter = self._letter(f"letter {row['letter_id']} of {agency}", row)
            if letter is None:
                continue
            if (letter.sender, letter.letter_id, letter.outgoing_no, letter.digest) != (
                agency, row["letter_id"], row["outgoing_no"], row["digest"],
            ):  # fmt: skip
                self.unverified(f"letter {row['letter_id']} of {agency} is not what its row says")
                continue
            self._sent[agency, letter.digest] = letter
            numbers[f"{row['year']} {letter.outgoing_no}"] += 1
            identities[letter.letter_id] += 1
            consignments += len(letter.recipients)
            rows = Counter(
                found["recipient"]
                for found in connection.execute(
                    "SELECT recipient FROM transmissions WHERE letter_seq = ?", (row["seq"],)
                )
            )
            if rows != Counter(letter.recipients):
                self.books.differences.append(f"letter {letter.letter_id} of {agency}: transmissions are missing")
            self.books.transmissions += len(letter.recipients)
        self._twice(count - 1 for count in (*numbers.values(), *identities.values()))
        rows_of_all = _rows(connection, "SELECT digest, recipient, state, relay_state, lane FROM transmissions")
        if len(rows_of_all) != consignments:
            self.books.differences.append(
                f"{agency}: {len(rows_of_all)} transmissions, its letters name {consignments}"
            )
        for row in rows_of_all:
            self._states[agency, row["digest"], row["recipient"]] = row["state"], row["relay_state"]
            if _is_published(row):
                self.published.add(Published(row["digest"], row["lane"], agency))

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
                self.unverified(f"inbox row {row['letter_id']} of {agency} is not what its letter says")
            letters.append(replace(letter, incoming_no=row["incoming_no"]))
            if row["incoming_no"] is not None:
                numbers[f"{row['year']} {row['incoming_no']}"] += 1
        self._twice(count - 1 for count in Counter((i.sender, i.letter_id) for i in letters).values())
        self._twice(count - 1 for count in numbers.values())
        self._received[agency] = letters

    def _read_quarantine(self, agency: str, connection: sqlite3.Connection) -> None:
        self._given_up[agency] = set()
        for row in _rows(connection, "SELECT * FROM quarantine"):
            if row["authentic"]:
                # Given up, and its sender was told: the receipt is looked for when the books are matched.
                try:
                    self._given_up[agency].add(_opened(row["body"], TokenType.LETTER).digest)
                except Refused as refusal:
                    self.unverified(f"quarantine row {row['seq']} of {agency}: {refusal}")
                continue
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

    def compare_record(self, store: Path) -> None:
        """The authority's store against what all others published."""
        try:
            record = read_record(store, self.published)
        except sqlite3.Error as error:
            self.unverified(f"the store of the authority cannot be read: {error}")
            return
        self.books.journalled = record.journalled
        self.books.dead_letters = record.dead_letters
        self.books.differences += record.differences

    def match(self) -> None:
        """Sender against recipient, receipt against row, and back."""
        for (sender, digest), letter in self._sent.items():
            for recipient in letter.recipients:
                self._match_transmission(sender, digest, recipient)
        for recipient, letters in self._received.items():
            for letter in letters:
                self._match_arrival(recipient, letter)
        for holder, digest, recipient in self._received_receipts:
            letter_of_it = self._sent.get((holder, digest))
            if letter_of_it is None or recipient not in letter_of_it.recipients:
                self._differs(f"{holder} has a receipt of {recipient} for {digest[:12]}, which it never sent there")
        for (recipient, digest, _), receipts in self._issued_receipts.items():
            self._match_answers(recipient, digest, list(receipts.values()))
        for recipient, digests in self._given_up.items():
            for digest in digests:
                self._match_given_up(recipient, digest)

    def _match_transmission(self, sender: str, digest: str, recipient: str) -> None:
        what = f"{sender} to {recipient} ({digest[:12]})"
        received = self._received_receipts.get((sender, digest, recipient), {})
        terminal = sorted(receipt.event for receipt in received.values() if receipt.terminal)
        if not terminal:
            self.books.left_over += 1
            self._differs(f"{what}: no outcome")
            return
        self._twice([len(terminal) - 1])
        outcome = _OUTCOMES[terminal[0]]
        setattr(self.books, outcome, getattr(self.books, outcome) + 1)
        state, relay_state = self._states.get((sender, digest, recipient), (None, None))
        if (state, relay_state) != (outcome, _CLOSED):
            self._differs(f"{what}: row says {state} (relay {relay_state}), receipts say {outcome}")
        if recipient not in self._received:
            # Whoever left the backbone has none; then the authority has refused the letter.
            if outcome != "refused":
                self._differs(f"{what}: {outcome}, yet {recipient} has no store")
            return
        holds = sum(letter.digest == digest for letter in self._received[recipient])
        if holds != (1 if outcome == "delivered" else 0):
            self._differs(f"{what}: {outcome}, yet {holds} copies in the inbox")
        issued = self._issued_receipts.get((recipient, digest, recipient), {})
        if set(issued) != {token for token, receipt in received.items() if receipt.signer == recipient}:
            self._differs(f"{what}: receipts issued and received differ")

    def _match_arrival(self, recipient: str, letter: _Letter) -> None:
        if (letter.sender, letter.digest) not in self._sent:
            self._differs(f"{recipient} holds letter {letter.letter_id}, which {letter.sender} does not know")
        answers = self._issued_receipts.get((recipient, letter.digest, recipient), {}).values()
        if ReceiptEvent.DELIVERED not in {receipt.event for receipt in answers}:
            self._differs(f"{recipient} holds {letter.letter_id} without a receipt for it")
        said = [receipt.incoming_no for receipt in answers if receipt.event is ReceiptEvent.REGISTERED]
        if said != ([] if letter.incoming_no is None else [letter.incoming_no]):
            self._differs(f"{recipient} registered {letter.letter_id} as {letter.incoming_no}, its receipts say {said}")

    def _match_given_up(self, recipient: str, digest: str) -> None:
        answers = self._issued_receipts.get((recipient, digest, recipient), {}).values()
        if ReceiptEvent.NOT_DELIVERED not in {receipt.event for receipt in answers}:
            self._differs(f"{recipient} gave up on {digest[:12]} and told nobody")

    def _match_answers(self, recipient: str, digest: str, answers: list[_Receipt]) -> None:
        terminal = [receipt for receipt in answers if receipt.terminal]
        self._twice([max(0, len(terminal) - 1)])
        events = {receipt.event for receipt in terminal}
        holds = any(letter.digest == digest for letter in self._received.get(recipient, []))
        if ReceiptEvent.DELIVERED in events and not holds:
            self._differs(f"{recipient} signed that it holds {digest[:12]}, and does not")
        if ReceiptEvent.NOT_DELIVERED in events and digest not in self._given_up.get(recipient, set()):
            self._differs(f"{recipient} refused {digest[:12]} and has not kept it")

    def _letter(self, what: str, row: sqlite3.Row) -> _Letter | None:
        try:
            token = _opened(row["letter_jws"], TokenType.LETTER)
            key = verify(token, self._directory, purpose="seal", now=self._now)
            claims = token.claims()
        except Refused as refusal:
            self.unverified(f"{what}: {refusal}")
            return None
        recipients = frozenset(recipient["agency"] for recipient in claims["recipients"])
        if claims["sender"]["agency"] != key.agency:
            self.unverified(f"{what}: signed by {key.agency}")
            return None
        return _Letter(key.agency, claims["id"], claims["outgoing_no"], token.digest, recipients)

    def _keep_receipt(self, shelf: _Shelf, holder: str, how: str, row: sqlite3.Row) -> _Receipt | None:
        what = f"{holder} {how} {row['jti']}"
        try:
            token = _opened(row["receipt_jws"], TokenType.RECEIPT)
            key = self._directory.key(token.kid)
            purpose = key.purpose if key is not None and key.purpose == "receipts" else "seal"
            key = verify(token, self._directory, purpose=purpose, now=self._now)
            claims = parse_receipt(token.claims())
        except Refused as refusal:
            self.unverified(f"{what}: {refusal}")
            return None
        subject = claims.sub_id
        by_authority = key.agency == AUTHORITY and claims.event in AUTHORITY_EVENTS
        by_recipient = key.agency == subject.recipient and claims.event in RECIPIENT_EVENTS
        if claims.iss != key.agency or not (by_authority or by_recipient):
            self.unverified(f"{what}: {key.agency} may not say {claims.event} of {subject.recipient}'s copy")
            return None
        if (claims.jti, subject.digest, claims.event) != (row["jti"], row["digest"], row["event"]):
            self.unverified(f"{what}: the row is not what the receipt says")
        receipt = _Receipt(
            key.agency, claims.event, claims.aud, subject.digest, subject.recipient, claims.incoming_no, token.digest
        )
        of_letter = shelf.setdefault((holder, receipt.digest, receipt.recipient), {})
        if token.digest in of_letter:
            self._twice([1])
        of_letter[token.digest] = receipt
        return receipt

    def _differs(self, difference: str) -> None:
        self.books.differences.append(difference)

    def unverified(self, difference: str) -> None:
        self.books.unverified += 1
        self.books.differences.append(difference)

    def _twice(self, surplus: Iterable[int]) -> None:
        self.books.twice += sum(surplus)


def _opened(content: object, expected: TokenType) -> OpenedToken:
    """The token in a column of a store, which may have been tampered with. Raises as :func:`open_token` does."""
    if not isinstance(content, bytes):
        raise Refused(ErrorCode.TOKEN_MALFORMED)
    return open_token(content, expected)


def _is_published(row: sqlite3.Row) -> bool:
    """What a tampered store holds instead of a number is no confirm."""
    state = row["relay_state"]
    return isinstance(state, int) and state >= _CONFIRMED


def _rows(connection: sqlite3.Connection, statement: str) -> list[sqlite3.Row]:
    return connection.execute(statement).fetchall()
