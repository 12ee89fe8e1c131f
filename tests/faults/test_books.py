"""The books are the judge of all these tests, so they are judged here: each tampering must upset them."""

import asyncio
import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.demo.books import Books, read_books
from schemas.identifiers import uuid7
from schemas.receipts import ReceiptEvent, build_receipt
from tests.faults.bed import FaultBed
from tests.support.adapters import send_until_answered
from trust import ijson
from trust.keys import FileKey
from trust.token import SignedToken, Signer, TokenType

HOUR = 3600
CLERK = "السجل العام"
TABLES = ("letters", "transmissions", "receipts_received", "receipts_issued", "inbox", "quarantine")


@dataclass(frozen=True)
class Evidence:
    """Copies of the stores after a story, and the instant at which they are judged."""

    folder: Path
    now: datetime

    def books(self) -> Books:
        return read_books(self.folder, self.now)

    def agency(self, code: str) -> Path:
        return self.folder / "agencies" / code

    @contextlib.contextmanager
    def store(self, code: str) -> Iterator[sqlite3.Connection]:
        """The store of ``code``, without the constraints that would prevent a tampering."""
        with contextlib.closing(sqlite3.connect(self.agency(code) / "store.db")) as connection:
            for table in TABLES:
                connection.execute(f"CREATE TABLE loose AS SELECT * FROM {table}")  # noqa: S608 - a name from above
                connection.execute(f"DROP TABLE {table}")
                connection.execute(f"ALTER TABLE loose RENAME TO {table}")
            yield connection
            connection.commit()

    def sign_receipt(self, code: str, event: ReceiptEvent, digest: str) -> tuple[str, SignedToken]:
        """A receipt about MOF's copy of a letter of MPW, signed by ``code``; with its jti."""
        at = int(self.now.timestamp())
        jti = uuid7(at * 1000, b"0123456789")
        claims = build_receipt(
            event=event,
            issuer=code,
            audience="MPW",
            jti=jti,
            issued_at=at,
            occurred_at=at,
            thread_id=None,
            letter_id=None,
            recipient="MOF",
            digest=digest,
            details={},
        )
        keys = self.agency(code) / "keys"
        signer = Signer(FileKey(keys / "seal.key", keys / "seal.pem"))
        [token] = asyncio.run(signer.sign(TokenType.RECEIPT, [ijson.dump(claims)], at))
        return jti, token


@pytest.fixture(scope="module")
def story(shared_bed: FaultBed, tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Letters both ways: delivered, registered, registered and returned, and one that came too late."""
    bed = shared_bed
    bed.restore()
    mpw = bed.start("MPW")
    soon = (datetime.now(UTC) + timedelta(seconds=HOUR)).isoformat(timespec="seconds")
    content = {"subject": "صيانة الطرق", "body": "نص"}
    late = mpw.post("/v1/letters", {"recipients": [{"agency": "MOF"}], "content": content, "expires_at": soon}, "late")
    assert late.status == 202, late
    bed.wait_states("MPW", "sent", 1)
    bed.stop("MPW")
    bed.begin("MPW", clock_offset=2 * HOUR)
    bed.begin("MOF", clock_offset=2 * HOUR)
    bed.wait_ready("MPW", "MOF")
    for number in range(3):
        letter = send_until_answered(bed, "MPW", f"story-{number}", ["MOF"])
        bed.wait_state("MPW", letter, "MOF", "delivered")
        acts = {"registration": {"registered_by": CLERK}, "return": {"returned_by": CLERK, "reason": "not_competent"}}
        for act in list(acts)[:number]:
            assert bed.adapter("MOF").post(f"/v1/inbox/{letter}/{act}", acts[act]).status == 201
    send_until_answered(bed, "MOF", "answer", ["MPW"])
    bed.close_books()
    evidence = Evidence(tmp_path_factory.mktemp("books") / "story", datetime.now(UTC) + timedelta(seconds=2 * HOUR))
    for part in ("authority", "agencies"):
        shutil.copytree(bed.folder / part, evidence.folder / part)
    bed.restore()
    return evidence


@pytest.fixture
def evidence(story: Evidence, tmp_path: Path) -> Evidence:
    """A copy to be tampered with."""
    shutil.copytree(story.folder, tmp_path / "story")
    return Evidence(tmp_path / "story", story.now)


def test_untouched_story_balances(story: Evidence) -> None:
    books = story.books()
    assert books.balanced, books
    assert (books.accepted, books.transmissions, books.delivered, books.not_delivered) == (5, 5, 4, 1)


def test_stores_without_their_constraints_balance_just_the_same(evidence: Evidence) -> None:
    for code in ("MPW", "MOF"):
        with evidence.store(code):
            pass
    assert evidence.books().balanced


DELETE = "DELETE FROM {0} WHERE rowid = (SELECT min(rowid) FROM {0} WHERE {1})"
DOUBLE = "INSERT INTO {0} SELECT * FROM {0} WHERE rowid = (SELECT min(rowid) FROM {0} WHERE {1})"
UPDATE = "UPDATE {0} SET {2} WHERE rowid = (SELECT min(rowid) FROM {0} WHERE {1})"
DELIVERED = "event = 'delivered'"
REGISTERED = "event = 'registered'"
ANY = "true"
A_DELIVERED = "SELECT rowid, digest FROM receipts_received WHERE event = 'delivered'"
MISFILED = """
    INSERT INTO receipts_issued (jti, digest, event, receipt_jws)
    SELECT jti, digest, event, receipt_jws FROM receipts_received LIMIT 1
"""

TAMPERINGS = {
    "receipt deleted by its receiver": ("MPW", DELETE.format("receipts_received", DELIVERED), "left_over"),
    "receipt deleted by its signer": ("MOF", DELETE.format("receipts_issued", DELIVERED), "differences"),
    "refusal deleted by its receiver": (
        "MPW", DELETE.format("receipts_received", "event = 'not_delivered'"), "left_over",
    ),
    "refusal deleted by its signer": ("MOF", DELETE.format("receipts_issued", "reason = 'late'"), "differences"),
    "registration deleted by its receiver": ("MPW", DELETE.format("receipts_received", REGISTERED), "differences"),
    "registration deleted by its signer": ("MOF", DELETE.format("receipts_issued", REGISTERED), "differences"),
    "arrived letter deleted": ("MOF", DELETE.format("inbox", ANY), "differences"),
    "refused letter deleted": ("MOF", DELETE.format("quarantine", ANY), "differences"),
    "sent letter deleted": ("MPW", DELETE.format("letters", ANY), "differences"),
    "transmission deleted": ("MPW", DELETE.format("transmissions", ANY), "differences"),
    "arrived letter doubled": ("MOF", DOUBLE.format("inbox", ANY), "twice"),
    "sent letter doubled": ("MPW", DOUBLE.format("letters", ANY), "twice"),
    "received receipt doubled": ("MPW", DOUBLE.format("receipts_received", ANY), "twice"),
    "issued receipt doubled": ("MOF", DOUBLE.format("receipts_issued", ANY), "twice"),
    "transmission doubled": ("MPW", DOUBLE.format("transmissions", ANY), "differences"),
    "transmission in another state": ("MPW", UPDATE.format("transmissions", ANY, "state = 'sent'"), "differences"),
    "transmission still open": ("MPW", UPDATE.format("transmissions", ANY, "relay_state = 2"), "differences"),
    "receipt never published": ("MOF", UPDATE.format("receipts_issued", ANY, "relay_state = 0"), "left_over"),
    "dead letter never published": ("MOF", UPDATE.format("quarantine", ANY, "relay_state = 1"), "left_over"),
    "another outgoing number": ("MPW", UPDATE.format("letters", ANY, "outgoing_no = 'MPW/1'"), "unverified"),
    "another letter id": ("MOF", UPDATE.format("inbox", ANY, "letter_id = 'another'"), "unverified"),
    "another incoming number": (
        "MOF", UPDATE.format("inbox", "incoming_no IS NOT NULL", "incoming_no = 'MOF/1'"), "differences",
    ),
    "incoming number given twice": (
        "MOF",
        "UPDATE inbox SET incoming_no = (SELECT min(incoming_no) FROM inbox) WHERE incoming_no IS NOT NULL",
        "twice",
    ),
    "receipt filed as another event": (
        "MPW", UPDATE.format("receipts_received", DELIVERED, "event = 'opened'"), "unverified",
    ),
    "receipt filed under another letter": (
        "MPW", UPDATE.format("receipts_received", ANY, f"digest = '{'0' * 64}'"), "unverified",
    ),
    "received receipt put into the wrong store": (
        "MPW",
        MISFILED,
        "unverified",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("agency", "statement", "upset"), TAMPERINGS.values(), ids=TAMPERINGS)
def test_tampering_with_a_row_upsets_the_books(evidence: Evidence, agency: str, statement: str, upset: str) -> None:
    with evidence.store(agency) as store:
        assert store.execute(statement).rowcount >= 1
    _upset(evidence, upset)


@pytest.mark.parametrize(
    ("agency", "table", "column"),
    [
        ("MPW", "letters", "letter_jws"),
        ("MOF", "inbox", "letter_jws"),
        ("MOF", "quarantine", "body"),
        ("MPW", "receipts_received", "receipt_jws"),
        ("MOF", "receipts_issued", "receipt_jws"),
    ],
)
def test_one_altered_byte_upsets_the_books(evidence: Evidence, agency: str, table: str, column: str) -> None:
    with evidence.store(agency) as store:
        row, token = store.execute(f"SELECT rowid, {column} FROM {table} LIMIT 1").fetchone()  # noqa: S608 - from above
        middle = len(token) // 2
        altered = token[:middle] + (b"B" if token[middle : middle + 1] == b"A" else b"A") + token[middle + 1 :]
        store.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (altered, row))  # noqa: S608 - as above
    _upset(evidence, "differences" if table == "quarantine" else "unverified")


@pytest.mark.parametrize("agency", ["MPW", "MOF"])
def test_missing_store_upsets_the_books(evidence: Evidence, agency: str) -> None:
    (evidence.agency(agency) / "store.db").unlink()
    _upset(evidence, "differences")


def test_receipt_by_another_agency_is_no_outcome(evidence: Evidence) -> None:
    with evidence.store("MPW") as store:
        row, digest = store.execute(A_DELIVERED).fetchone()
        jti, token = evidence.sign_receipt("SAB", ReceiptEvent.DELIVERED, digest)
        store.execute(
            "UPDATE receipts_received SET jti = ?, receipt_jws = ?, token_digest = ? WHERE rowid = ?",
            (jti, token.text, token.digest, row),
        )
    _upset(evidence, "unverified")
    assert evidence.books().left_over == 1


def test_second_terminal_receipt_counts_as_twice_in_both_stores(evidence: Evidence) -> None:
    with evidence.store("MPW") as store:
        _, digest = store.execute(A_DELIVERED).fetchone()
    jti, token = evidence.sign_receipt("MOF", ReceiptEvent.DELIVERED, digest)
    for code, table in (("MPW", "receipts_received"), ("MOF", "receipts_issued")):
        with evidence.store(code) as store:
            store.execute(
                f"INSERT INTO {table} (jti, digest, event, receipt_jws) VALUES (?, ?, 'delivered', ?)",  # noqa: S608
                (jti, digest, token.text),
            )
    _upset(evidence, "twice")
    assert evidence.books().twice == 2


def _upset(evidence: Evidence, figure: str) -> None:
    books = evidence.books()
    assert not books.balanced
    assert getattr(books, figure), books
