"""Whatever is done to a store must upset the books, which judge the demonstration and the tests of faults.

On copies of one exchange of letters between three real adapters, one change each.
"""

# ruff: noqa: S608 - the statements are put together from what stands in this file

import asyncio
import contextlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agency_adapter.registry import Registration, Return
from deploy.command import run
from schemas.errors import ErrorCode
from schemas.identifiers import uuid7
from schemas.reasons import ReturnReason
from schemas.receipts import ReceiptEvent, build_receipt
from tests.behaviour.bed import Bed, Party, instant
from trust import ijson
from trust.keys import FileKey
from trust.token import SignedToken, Signer, TokenType

CLERK = "السجل العام"
CODES = ("MPW", "MOF", "SAB")


@dataclass(frozen=True)
class Evidence:
    """Copies of the stores after a story, to be tampered with."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def file(self, code: str) -> Path:
        return self.folder / "agencies" / code / "store.db"

    @contextlib.contextmanager
    def store(self, code: str) -> Iterator[sqlite3.Connection]:
        """The store of ``code``, without the constraints that would prevent a tampering."""
        with contextlib.closing(sqlite3.connect(self.file(code))) as connection, connection:
            for table in ("letters", "transmissions", "receipts_received", "receipts_issued", "inbox", "quarantine"):
                connection.execute(f"CREATE TABLE loose AS SELECT * FROM {table}")
                connection.execute(f"DROP TABLE {table}")
                connection.execute(f"ALTER TABLE loose RENAME TO {table}")
            yield connection

    def books(self) -> tuple[int, dict[str, Any]]:
        """Exit code of `tarasul demo books`, and what it found."""
        self.capsys.readouterr()
        code = run(["demo", "books", str(self.folder), "--json"])
        found: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        assert json.loads((self.folder / "books.json").read_text("utf-8")) == found
        return code, found

    def upset(self, figure: str) -> dict[str, Any]:
        """What the books say, which must be that they do not balance, and that by ``figure``."""
        code, found = self.books()
        assert (code, found["balanced"]) == (1, False)
        assert found["differences"] or found["twice"], found
        assert found[figure], found
        return found

    def sign_receipt(self, code: str, event: ReceiptEvent, digest: str) -> tuple[str, SignedToken]:
        """A receipt about MOF's copy of a letter of MPW, signed by ``code``; with its jti."""
        at = int(datetime.now(UTC).timestamp())
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
        keys = self.folder / "agencies" / code / "keys"
        signer = Signer(FileKey(keys / "seal.key", keys / "seal.pem"))
        [token] = asyncio.run(signer.sign(TokenType.RECEIPT, [ijson.dump(claims)], at))
        return jti, token


async def _exchange(parties: Sequence[Party]) -> None:
    """Everything that waits anywhere arrives."""
    by_code = {party.code: party for party in parties}
    for take in (Party.letters_out, Party.receipts_out):
        for party in parties:
            for delivery in await take(party):
                await by_code[delivery.routing_key.partition(".")[0]].receive(delivery)
    for party in parties:
        await party.dead_letters_out()


async def _play(folder: Path) -> None:
    """Letters both ways: delivered, registered, registered and returned, one that came too late, and an intruder's."""
    bed = Bed(folder, CODES, at=datetime.now(UTC) - timedelta(hours=2))
    await bed.publish_directory()
    parties = mpw, mof, sab = [bed.open(code) for code in CODES]
    await mpw.send("MOF", expires_at=instant(bed.clock.now() + timedelta(hours=1)))
    [late] = await mpw.letters_out()
    bed.clock.offset += 3601
    sent = [await mpw.send(*recipients) for recipients in (("MOF", "SAB"), ("MOF",), ("MOF",))]
    await mof.send("MPW")
    await mof.receive(late)
    await _exchange(parties)
    for letter in sent[:2]:
        await mof.adapter.correspondence.register(Registration(letter.letter_id, CLERK))
    await mof.adapter.correspondence.return_(Return(sent[1].letter_id, CLERK, ReturnReason.NOT_COMPETENT))
    stolen = sab.adapter.correspondence.letter_jws(sent[0].letter_id)
    await mof.receive(bed.carry("SAB", stolen, "MOF.routine"))
    await _exchange(parties)
    await bed.close()
    shutil.copy(bed.authority.root_file, folder / "authority" / "root.pem")
    shutil.copy(folder / "agencies" / "MPW" / "directory.jws", folder / "authority")


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("books") / "story"
    asyncio.run(_play(folder))
    return folder


@pytest.fixture
def evidence(story: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Evidence:
    shutil.copytree(story, tmp_path / "story")
    return Evidence(tmp_path / "story", capsys)


def test_an_untouched_story_balances(evidence: Evidence) -> None:
    code, found = evidence.books()
    [intruder] = found.pop("intruders")
    assert (code, found) == (
        0,
        {
            "agencies": 3,
            "broker_users": 0,
            "accepted": 5,
            "transmissions": 6,
            "delivered": 5,
            "not_delivered": 1,
            "refused": 0,
            "left_over": 0,
            "twice": 0,
            "unverified": 0,
            "journalled": 0,
            "dead_letters": {},
            "differences": [],
            "balanced": True,
        },
    )
    assert (intruder["at"], intruder["publisher"], intruder["reason"]) == ("MOF", "SAB", "foreign_exchange")


def test_stores_without_their_constraints_balance_just_the_same(evidence: Evidence) -> None:
    for code in CODES:
        with evidence.store(code):
            pass
    assert evidence.books()[0] == 0


def test_reading_the_books_changes_no_store(evidence: Evidence) -> None:
    before = {code: evidence.file(code).read_bytes() for code in CODES}
    evidence.books()
    assert {code: evidence.file(code).read_bytes() for code in CODES} == before


def test_the_books_are_told_in_words(evidence: Evidence) -> None:
    assert run(["demo", "books", str(evidence.folder)]) == 0
    assert "The books balance: every letter is accounted for." in evidence.capsys.readouterr().out
    with evidence.store("MOF") as store:
        store.execute("DELETE FROM inbox")
    assert run(["demo", "books", str(evidence.folder)]) == 1
    told = evidence.capsys.readouterr().out
    assert "The books do not balance." in told
    assert "MPW to MOF" in told


# Rows

_DELETE = "DELETE FROM {0} WHERE rowid = (SELECT min(rowid) FROM {0} WHERE {1})"
_DOUBLE = "INSERT INTO {0} SELECT * FROM {0} WHERE rowid = (SELECT min(rowid) FROM {0} WHERE {1})"
_UPDATE = "UPDATE {0} SET {2} WHERE rowid = (SELECT min(rowid) FROM {0} WHERE {1})"
_TO_MOF = "recipient = 'MOF' AND event = 'delivered'"
_DELIVERED, _REFUSED, _REGISTERED, _ANY = "event = 'delivered'", "event = 'not_delivered'", "event = 'registered'", "1"
_OF_ANOTHER = """
    INSERT INTO receipts_issued (jti, digest, event, receipt_jws)
    SELECT jti, digest, event, receipt_jws FROM receipts_received LIMIT 1
"""
_NUMBER_TWICE = "UPDATE inbox SET incoming_no = (SELECT min(incoming_no) FROM inbox) WHERE incoming_no IS NOT NULL"

TAMPERINGS = {
    "receipt deleted by its receiver": ("MPW", _DELETE.format("receipts_received", _TO_MOF), "left_over"),
    "receipt deleted by its signer": ("MOF", _DELETE.format("receipts_issued", _DELIVERED), "differences"),
    "refusal deleted by its receiver": ("MPW", _DELETE.format("receipts_received", _REFUSED), "left_over"),
    "refusal deleted by its signer": ("MOF", _DELETE.format("receipts_issued", _REFUSED), "differences"),
    "registration deleted by its receiver": ("MPW", _DELETE.format("receipts_received", _REGISTERED), "differences"),
    "registration deleted by its signer": ("MOF", _DELETE.format("receipts_issued", _REGISTERED), "differences"),
    "arrived letter deleted": ("MOF", _DELETE.format("inbox", _ANY), "differences"),
    "refused letter deleted": ("MOF", _DELETE.format("quarantine", "authentic"), "differences"),
    "sent letter deleted": ("MPW", _DELETE.format("letters", _ANY), "differences"),
    "transmission deleted": ("MPW", _DELETE.format("transmissions", _ANY), "differences"),
    "arrived letter doubled": ("MOF", _DOUBLE.format("inbox", _ANY), "twice"),
    "sent letter doubled": ("MPW", _DOUBLE.format("letters", _ANY), "twice"),
    "received receipt doubled": ("MPW", _DOUBLE.format("receipts_received", _TO_MOF), "twice"),
    "issued receipt doubled": ("MOF", _DOUBLE.format("receipts_issued", _DELIVERED), "twice"),
    "transmission doubled": ("MPW", _DOUBLE.format("transmissions", _ANY), "differences"),
    "transmission open again": ("MPW", _UPDATE.format("transmissions", _ANY, "state = 'sent'"), "differences"),
    "transmission with another end": ("MPW", _UPDATE.format("transmissions", "seq > 1", "state = 'not_delivered'"),
                                      "differences"),
    "transmission to be repeated": ("MPW", _UPDATE.format("transmissions", _ANY, "relay_state = 2"), "differences"),
    "transmission of another letter": ("MPW", _UPDATE.format("transmissions", _ANY, "digest = 'x'"), "differences"),
    "transmission to another": ("MPW", _UPDATE.format("transmissions", _ANY, "recipient = 'KUNA'"), "differences"),
    "receipt never published": ("MOF", _UPDATE.format("receipts_issued", _ANY, "relay_state = 0"), "left_over"),
    "dead letter never published": ("MOF", _UPDATE.format("quarantine", _ANY, "relay_state = 1"), "left_over"),
    "relay state that is none": ("MOF", _UPDATE.format("receipts_issued", _ANY, "relay_state = 'x'"), "left_over"),
    "sent letter with another id": ("MPW", _UPDATE.format("letters", _ANY, "letter_id = 'x'"), "unverified"),
    "sent letter with another number": ("MPW", _UPDATE.format("letters", _ANY, "outgoing_no = 'MPW/1'"), "unverified"),
    "sent letter with another digest": ("MPW", _UPDATE.format("letters", _ANY, "digest = 'x'"), "unverified"),
    "arrived letter with another id": ("MOF", _UPDATE.format("inbox", _ANY, "letter_id = 'x'"), "unverified"),
    "arrived letter of another": ("MOF", _UPDATE.format("inbox", _ANY, "sender = 'SAB'"), "unverified"),
    "arrived letter with another digest": ("MOF", _UPDATE.format("inbox", _ANY, "digest = 'x'"), "unverified"),
    "another incoming number": ("MOF", _UPDATE.format("inbox", "incoming_no IS NOT NULL", "incoming_no = 'x'"),
                                "differences"),
    "incoming number nobody signed": ("MOF", _UPDATE.format("inbox", "incoming_no IS NULL", "incoming_no = 'x'"),
                                      "differences"),
    "incoming number given twice": ("MOF", _NUMBER_TWICE, "twice"),
    "received receipt filed as another event": ("MPW", _UPDATE.format("receipts_received", _ANY, "event = 'opened'"),
                                                "unverified"),
    "received receipt filed under another letter": ("MPW", _UPDATE.format("receipts_received", _ANY, "digest = 'x'"),
                                                    "unverified"),
    "received receipt with another jti": ("MPW", _UPDATE.format("receipts_received", _ANY, "jti = 'x'"), "unverified"),
    "issued receipt filed as another event": ("MOF", _UPDATE.format("receipts_issued", _ANY, "event = 'opened'"),
                                              "unverified"),
    "another's receipt kept as its own": ("MPW", _OF_ANOTHER, "unverified"),
    "sent letter that is none": ("MPW", _UPDATE.format("letters", _ANY, "letter_jws = NULL"), "unverified"),
    "arrived letter that is none": ("MOF", _UPDATE.format("inbox", _ANY, "letter_jws = 5"), "unverified"),
    "refused letter that is none": ("MOF", _UPDATE.format("quarantine", "authentic", "body = 'x'"), "unverified"),
    "received receipt that is none": ("MPW", _UPDATE.format("receipts_received", _ANY, "receipt_jws = NULL"),
                                      "unverified"),
    "issued receipt that is none": ("MOF", _UPDATE.format("receipts_issued", _ANY, "receipt_jws = 'x'"), "unverified"),
    "intruder's letter made out to be genuine": ("MOF", "UPDATE quarantine SET authentic = 1", "differences"),
}  # fmt: skip


@pytest.mark.parametrize(("code", "statement", "figure"), TAMPERINGS.values(), ids=TAMPERINGS)
def test_tampering_with_a_row_upsets_the_books(evidence: Evidence, code: str, statement: str, figure: str) -> None:
    with evidence.store(code) as store:
        assert store.execute(statement).rowcount >= 1
    evidence.upset(figure)


def test_a_receipt_that_is_missing_at_both_ends_is_noticed(evidence: Evidence) -> None:
    with evidence.store("MPW") as mpw, evidence.store("MOF") as mof:
        [jti] = mpw.execute(f"SELECT jti FROM receipts_received WHERE {_TO_MOF}").fetchone()
        assert mpw.execute("DELETE FROM receipts_received WHERE jti = ?", (jti,)).rowcount == 1
        assert mof.execute("DELETE FROM receipts_issued WHERE jti = ?", (jti,)).rowcount == 1
    assert evidence.upset("left_over")["left_over"] == 1


def test_a_registration_that_nobody_signed_is_noticed(evidence: Evidence) -> None:
    for code, table in (("MPW", "receipts_received"), ("MOF", "receipts_issued")):
        with evidence.store(code) as store:
            store.execute(f"DELETE FROM {table} WHERE {_REGISTERED}")
    assert any("registered" in difference for difference in evidence.upset("differences")["differences"])


def test_a_letter_that_its_recipient_never_got_is_noticed_though_receipts_say_so(evidence: Evidence) -> None:
    with evidence.store("SAB") as store:
        store.execute("DELETE FROM inbox")
    assert any("signed that it holds" in difference for difference in evidence.upset("differences")["differences"])


def test_a_receipt_by_another_agency_is_no_outcome(evidence: Evidence) -> None:
    with evidence.store("MPW") as store:
        row, digest = store.execute(f"SELECT rowid, digest FROM receipts_received WHERE {_TO_MOF}").fetchone()
        jti, token = evidence.sign_receipt("SAB", ReceiptEvent.DELIVERED, digest)
        store.execute(
            "UPDATE receipts_received SET jti = ?, receipt_jws = ?, token_digest = ? WHERE rowid = ?",
            (jti, token.text, token.digest, row),
        )
    assert evidence.upset("unverified")["left_over"] == 1


def test_a_second_terminal_receipt_counts_as_twice_in_both_stores(evidence: Evidence) -> None:
    with evidence.store("MPW") as store:
        [digest] = store.execute(f"SELECT digest FROM receipts_received WHERE {_TO_MOF}").fetchone()
    jti, token = evidence.sign_receipt("MOF", ReceiptEvent.DELIVERED, digest)
    for code, table in (("MPW", "receipts_received"), ("MOF", "receipts_issued")):
        with evidence.store(code) as store:
            store.execute(
                f"INSERT INTO {table} (jti, digest, event, receipt_jws) VALUES (?, ?, 'delivered', ?)",
                (jti, digest, token.text),
            )
    assert evidence.upset("twice")["twice"] == 2


# Signed bytes that are not what was signed


@pytest.mark.parametrize("part", [0, 1, 2], ids=["header", "payload", "signature"])
@pytest.mark.parametrize(
    ("code", "table", "column"),
    [
        ("MPW", "letters", "letter_jws"),
        ("MOF", "inbox", "letter_jws"),
        ("MOF", "quarantine", "body"),
        ("MPW", "receipts_received", "receipt_jws"),
        ("MOF", "receipts_issued", "receipt_jws"),
    ],
)
def test_a_changed_byte_of_a_token_is_noticed(
    code: str, table: str, column: str, part: int, evidence: Evidence
) -> None:
    with evidence.store(code) as store:
        row, token = store.execute(f"SELECT rowid, {column} FROM {table} LIMIT 1").fetchone()
        parts = token.split(b".")
        middle = len(parts[part]) // 2
        other = b"A" if parts[part][middle : middle + 1] != b"A" else b"B"
        parts[part] = parts[part][:middle] + other + parts[part][middle + 1 :]
        store.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (b".".join(parts), row))
    if (table, part) == ("quarantine", 2):
        # What was given up on is known by its digest; its signature is no part of that, and proves nothing there.
        assert evidence.books()[0] == 0
    else:
        evidence.upset("differences" if table == "quarantine" else "unverified")


@pytest.mark.parametrize(
    ("code", "table", "column"), [("MOF", "inbox", "letter_jws"), ("MPW", "receipts_received", "receipt_jws")]
)
def test_another_genuine_token_in_its_place_is_noticed(code: str, table: str, column: str, evidence: Evidence) -> None:
    with evidence.store(code) as store:
        store.execute(
            f"UPDATE {table} SET {column} = (SELECT {column} FROM {table} ORDER BY seq DESC)"
            f" WHERE seq = (SELECT min(seq) FROM {table})"
        )
    assert evidence.upset("unverified")["twice"] >= 1


# Whole stores


@pytest.mark.parametrize("code", CODES)
def test_a_store_that_is_missing_is_noticed(code: str, evidence: Evidence) -> None:
    evidence.file(code).unlink()
    assert evidence.upset("differences")["agencies"] == 2


def test_no_store_at_all_does_not_balance(evidence: Evidence) -> None:
    shutil.rmtree(evidence.folder / "agencies")
    assert run(["demo", "books", str(evidence.folder)]) == 1
    assert evidence.capsys.readouterr().err.count(f"[{ErrorCode.FILE_UNREADABLE}]") == 2


def test_without_a_directory_nothing_can_be_verified(evidence: Evidence) -> None:
    (evidence.folder / "authority" / "directory.jws").unlink()
    assert run(["demo", "books", str(evidence.folder)]) == 3
    assert evidence.capsys.readouterr().err.count(f"[{ErrorCode.DIRECTORY_UNREADABLE}]") == 2


def test_books_that_cannot_be_written_down_are_an_error(evidence: Evidence) -> None:
    (evidence.folder / "books.json").mkdir()
    assert run(["demo", "books", str(evidence.folder)]) == 1
    assert evidence.capsys.readouterr().err.count(f"[{ErrorCode.OUTPUT_UNWRITABLE}]") == 2


def _torn(store: Path) -> None:
    content = bytearray(store.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    store.write_bytes(content)


def _no_database(store: Path) -> None:
    store.write_bytes(b"not a database" * 1000)


def _without_a_table(store: Path) -> None:
    with contextlib.closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("DROP TABLE quarantine")


@pytest.mark.parametrize("damage", [_torn, _no_database, _without_a_table])
def test_a_damaged_store_is_noticed_and_the_others_are_read(damage: Callable[[Path], None], evidence: Evidence) -> None:
    damage(evidence.file("MOF"))
    found = evidence.upset("unverified")
    assert found["agencies"] == 3
    assert found["accepted"] >= 4
