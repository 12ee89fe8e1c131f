"""Judging dead letters: who published it, is it authentic, has it been answered, and what the authority says."""

import asyncio
import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit import Evidence, Judgement, Known, identity, judge
from gateway.journal import read_message
from gateway.verdict import Verdict
from schemas.directory import AgencyStatus, KeyPurpose, RevocationKind
from schemas.receipts import ReceiptEvent, build_receipt
from schemas.statements import build_dead_letter
from tests.gateway.deliveries import delivery
from tests.support.authority import MadeAuthority
from tests.trust.forging import LETTER_ID, letter_claims
from trust import ijson
from trust.directory import Directory
from trust.token import TokenType

NOW = datetime.now(UTC).replace(microsecond=0)
SEAL, RECEIPTS = KeyPurpose.SEAL, KeyPurpose.RECEIPTS
DIED = "dead-letter"


@dataclass
class Court:
    """An authority of three agencies, and what their keys sign."""

    authority: MadeAuthority
    directory: Directory

    def sign(
        self, code: str, claims: dict[str, Any] | bytes, typ: TokenType = TokenType.LETTER, *, key: KeyPurpose = SEAL
    ) -> bytes:
        payload = claims if isinstance(claims, bytes) else ijson.dump(claims)
        [token] = asyncio.run(self.authority.signer(code, key).sign(typ, [payload], int(NOW.timestamp())))
        return token.text

    @property
    def claims(self) -> dict[str, Any]:
        return letter_claims(self.authority)

    def letter(self, code: str = "MPW") -> bytes:
        return self.sign(code, self.claims)

    def statement(self, code: str = "MOF", **members: Any) -> bytes:
        """What the adapter of ``code`` says about its own copy of a letter that came from MPW."""
        claims = build_dead_letter(
            agency=code,
            recipient=code,
            digest=hashlib.sha256(self.letter().rpartition(b".")[0]).hexdigest(),
            reason="not_addressed",
            stage="inbox",
            attempts=2,
            exchange="from.MPW",
            routing_key=f"{code}.routine",
            received_at=1,
            given_up_at=2,
        )
        return self.sign(code, claims | members, TokenType.DEAD_LETTER)

    def receipt(self) -> bytes:
        claims = build_receipt(
            event=ReceiptEvent.DELIVERED,
            issuer="MOF",
            audience="MPW",
            jti=LETTER_ID,
            issued_at=1,
            occurred_at=1,
            thread_id=None,
            letter_id=LETTER_ID,
            recipient="MOF",
            digest="0" * 64,
            details={},
        )
        return self.sign("MOF", claims, TokenType.RECEIPT)


@pytest.fixture(scope="module")
def court(tmp_path_factory: pytest.TempPathFactory) -> Court:
    authority = MadeAuthority(tmp_path_factory.mktemp("court"), NOW, ("MPW", "MOF", "SAB", "MOI"))
    authority.change_agency("MOI", status=AgencyStatus.SUSPENDED.value)
    return Court(authority, authority.directory())


def evidence(
    body: bytes,
    *,
    exchange: str = DIED,
    routing_key: str = "MOF.routine",
    statement: bytes | None = None,
    queue: str = "dead-letter",
    **marks: bool,
) -> Evidence:
    return Evidence(queue, exchange, routing_key, body, hashlib.sha256(body).hexdigest(), statement, **marks)


def known(*publishers: str, answered_by: tuple[str, ...] = (), in_time: bool = True, current: bool = True) -> Known:
    return Known(frozenset(publishers), frozenset(answered_by), in_time, current)


def judged(court: Court, found: Evidence, knows: Known | None = None, at: datetime = NOW) -> Judgement:
    return judge(found, knows or known(), court.directory, at)


def outcome(judgement: Judgement) -> tuple[Any, ...]:
    return judgement.verdict, judgement.reason, judgement.addressee, judgement.warned


def incident(reason: str, *warned: str) -> tuple[Any, ...]:
    return "incident", reason, None, warned


BEHIND = "waiting", "journal_behind", None, ()


# Letters


@pytest.mark.parametrize(
    ("found", "knows", "expected"),
    [
        ({"exchange": "from.MPW", "routing_key": "ZZZ.urgent"}, known(), ("refused", "recipient_unknown", "MPW", ())),
        ({"exchange": "from.MPW", "routing_key": "MOF.urgent"}, known(), ("held", "dead_lettered", "MPW", ())),
        ({"exchange": "from.MPW", "routing_key": "ECHO.urgent"}, known(), ("held", "dead_lettered", "MPW", ())),
        ({"exchange": "from.MPW", "routing_key": "MOI.urgent"}, known(), ("held", "recipient_not_active", "MPW", ())),
        ({}, known("MPW"), ("held", "dead_lettered", "MPW", ())),
        ({}, known("MPW", answered_by=("MOF",)), ("filed", "answered", None, ())),
        ({}, known("MPW", answered_by=("SAB",)), ("held", "dead_lettered", "MPW", ())),
        ({}, known(), ("waiting", "publisher_unknown", None, ())),
        ({}, known(in_time=False), ("filed", "publisher_unknown", None, ())),
        # The journal has not been read so far: what it will tell may change the answer, or the publisher.
        ({"exchange": "from.MPW"}, known(current=False), BEHIND),
        ({"exchange": "from.MPW", "routing_key": "ZZZ.urgent"}, known(current=False), BEHIND),
        ({"exchange": "from.MPW"}, known(answered_by=("MOF",), current=False), ("filed", "answered", None, ())),
        ({"exchange": "from.SAB"}, known(current=False), incident("foreign_exchange", "SAB")),
        ({}, known("MPW", current=False), BEHIND),
        ({}, known("SAB", current=False), BEHIND),
        ({}, known(in_time=False, current=False), ("waiting", "publisher_unknown", None, ())),
        # A cc holder replays it: through its own exchange, or until the broker gives it up.
        ({"exchange": "from.SAB"}, known("MPW"), incident("foreign_exchange", "SAB")),
        ({}, known("SAB"), incident("foreign_exchange", "SAB")),
        ({}, known("SAB", "MOF"), incident("foreign_exchange", "MOF", "SAB")),
        ({}, known("MPW", "SAB"), ("held", "dead_lettered", "MPW", ("SAB",))),
        ({"foreign": True}, known("MPW", "SAB"), incident("foreign_exchange", "SAB")),
        ({"foreign": True}, known("MPW"), ("held", "dead_lettered", "MPW", ())),
        ({"exchange": "from.SAB", "routing_key": "ZZZ.urgent"}, known(), incident("foreign_exchange", "SAB")),
        # The keys of routing.
        ({"exchange": "from.MPW", "routing_key": "nobody.urgent"}, known(), incident("routing_key_foreign", "MPW")),
        ({"exchange": "from.MPW", "routing_key": "MOF.x.urgent"}, known(), incident("routing_key_foreign", "MPW")),
        ({"exchange": "from.SAB", "routing_key": "MOF.nolane"}, known(), incident("routing_key_foreign", "SAB")),
        ({"exchange": "from.MPW", "routing_key": "urgent"}, known(), incident("routing_key_foreign", "MPW")),
        ({"exchange": "from.MPW", "routing_key": ""}, known(), incident("routing_key_foreign", "MPW")),
        ({"routing_key": "MOF.order"}, known("TRSL"), ("filed", "order", None, ())),
        ({"routing_key": "MOF.order"}, known("TRSL", "SAB"), incident("routing_key_foreign", "SAB")),
        # Exchanges that are nobody's say nothing about the publisher.
        ({"exchange": "from.mpw"}, known("MPW"), ("held", "dead_lettered", "MPW", ())),
        ({"exchange": "correspondence"}, known(), ("waiting", "publisher_unknown", None, ())),
        ({"exchange": ""}, known(), ("waiting", "publisher_unknown", None, ())),
        ({"exchange": "dead-letter.expired"}, known("MPW"), ("held", "dead_lettered", "MPW", ())),
    ],
)  # fmt: skip
def test_a_letter_of_mpw_is_judged_by_exchange_and_journal(
    court: Court, found: dict[str, Any], knows: Known, expected: tuple[Any, ...]
) -> None:
    assert outcome(judged(court, evidence(court.letter(), **found), knows)) == expected


def test_a_judgement_says_what_the_answer_needs(court: Court) -> None:
    letter = court.letter()
    found = judged(court, evidence(letter), known("MPW"))
    claims = court.claims
    assert found.digest == hashlib.sha256(letter.rpartition(b".")[0]).hexdigest()
    assert (found.letter_id, found.thread_id, found.until) == (claims["id"], claims["thread_id"], claims["expires_at"])
    assert (found.type, found.publisher, found.signer, found.recipient) == ("tarasul-letter+jws", "MPW", "MPW", "MOF")


def test_an_authentic_letter_that_cannot_be_read_is_answered_by_its_digest(court: Court) -> None:
    letter = court.sign("MPW", {"id": "no letter"})
    found = judged(court, evidence(letter), known("MPW"))
    assert outcome(found) == ("held", "dead_lettered", "MPW", ())
    assert (found.letter_id, found.thread_id, found.until) == (None, None, None)


def test_a_letter_that_was_cut_is_no_letter_even_if_its_beginning_is_one(court: Court) -> None:
    letter = court.letter()
    whole = evidence(letter)
    cut = replace(whole, whole=False, body_digest="a" * 64)
    assert identity(cut) == "a" * 64
    assert outcome(judged(court, cut, known("SAB"))) == ("incident", "token_too_large", None, ("SAB",))


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (lambda _: b"", "token_malformed"),
        (lambda _: b"\xff\x00junk", "token_malformed"),
        (lambda court: court.receipt(), "token_malformed"),
        (lambda court: court.letter()[:-6] + b"AAAAAA", "signature_invalid"),
        (lambda court: court.sign("MPW", court.claims, key=KeyPurpose.TRANSPORT), "signature_invalid"),
    ],
)
def test_what_is_not_signed_by_a_member_is_an_incident_of_its_publisher(court: Court, forge: Any, reason: str) -> None:
    for found, knows in (
        (evidence(forge(court), exchange="from.SAB"), known()),
        (evidence(forge(court)), known("SAB")),
    ):
        assert outcome(judged(court, found, knows)) == ("incident", reason, None, ("SAB",))


def test_a_key_that_is_in_no_directory_signs_nothing(court: Court, tmp_path: Path) -> None:
    stranger = MadeAuthority(tmp_path, NOW, ("MPW",))
    [token] = asyncio.run(stranger.signer("MPW").sign(TokenType.LETTER, [ijson.dump(court.claims)], 1))
    found = judged(court, evidence(token.text), known("MPW"))
    assert outcome(found) == ("incident", "signature_invalid", None, ("MPW",))


@pytest.mark.parametrize("kind", RevocationKind)
def test_who_signed_with_a_key_that_counts_no_more_is_answered_all_the_same(
    tmp_path: Path, kind: RevocationKind
) -> None:
    authority = MadeAuthority(tmp_path, NOW, ("MPW", "MOF"))
    letter = Court(authority, authority.directory()).letter()
    authority.revoke(authority.file_key("MPW").kid, NOW - timedelta(hours=1), kind)
    found = judge(evidence(letter), known("MPW"), authority.directory(), NOW)
    assert outcome(found) == ("held", "dead_lettered", "MPW", ())


# An adapter's word about its own copy


def test_an_adapters_own_dead_letter_is_filed_without_an_answer(court: Court) -> None:
    found = judged(
        court, evidence(court.letter(), exchange="from.MOF", routing_key="dead-letter", statement=court.statement())
    )
    assert outcome(found) == ("filed", "not_addressed", None, ())
    assert (found.publisher, found.signer, found.recipient, found.attempts) == ("MPW", "MOF", "MOF", 2)
    assert found.digest == hashlib.sha256(court.letter().rpartition(b".")[0]).hexdigest()


@pytest.mark.parametrize("kind", RevocationKind)
def test_what_was_stated_before_the_adapters_key_was_revoked_is_no_incident(
    tmp_path: Path, kind: RevocationKind
) -> None:
    authority = MadeAuthority(tmp_path, NOW, ("MPW", "MOF"))
    before = Court(authority, authority.directory())
    found = evidence(before.letter(), exchange="from.MOF", routing_key="dead-letter", statement=before.statement())
    authority.revoke(authority.file_key("MOF").kid, NOW - timedelta(hours=1), kind)
    judgement = judge(found, known(), authority.directory(), NOW)
    assert outcome(judgement) == ("filed", "not_addressed", None, ())


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (lambda _: None, "token_malformed"),
        (lambda _: b"junk", "token_malformed"),
        (lambda court: court.letter(), "token_malformed"),
        (lambda court: court.statement("SAB", reason=7), "token_malformed"),
        (lambda court: court.statement("SAB", recipient="MOF"), "statement_wrong_signer"),
        (lambda court: court.statement("SAB", iss="MOF"), "statement_wrong_signer"),
        (lambda court: court.statement("MOF"), "statement_wrong_signer"),
    ],
)
def test_what_a_third_agency_says_about_another_copy_is_its_incident(court: Court, statement: Any, reason: str) -> None:
    found = evidence(court.letter(), exchange="from.SAB", routing_key="dead-letter", statement=statement(court))
    assert outcome(judged(court, found)) == ("incident", reason, None, ("SAB",))


def test_a_dead_letter_that_died_itself_is_found_in_the_journal_under_what_it_has(court: Court) -> None:
    """Under its statement, under the letter in it, or under its bytes: as the journal wrote it down."""
    letter, statement = court.letter(), court.statement()
    for body, stated in ((letter, statement), (letter, None), (letter, b"junk"), (b"junk", statement), (b"junk", None)):
        message = read_message(
            delivery(body, exchange="from.MOF", routing_key="dead-letter", offset=1, statement=stated)
        )
        found = evidence(body, routing_key="dead-letter", statement=stated)
        assert identity(found) in {token.digest for token in message.tokens}


# What holds for everything


def test_a_receipt_never_causes_a_receipt(court: Court) -> None:
    for exchange in ("from.MOF", DIED):
        found = evidence(court.receipt(), exchange=exchange, routing_key="MPW.notice")
        assert outcome(judged(court, found)) == ("filed", "receipt", None, ())


CODES = st.sampled_from(["MPW", "MOF", "SAB", "MOI", "ZZZ", "TRSL", "ECHO", "nobody", "A.B", ""])
LANES = st.sampled_from(["urgent", "routine", "notice", "order", "nolane", "urgent\n", "\0"])
ROUTING_KEYS = st.one_of(
    st.builds("{}.{}".format, CODES, LANES), st.sampled_from(["dead-letter", "dead-letter.x"]), st.text(max_size=20)
)
EXCHANGES = st.one_of(
    st.sampled_from(["from.MPW", "from.MOF", "from.SAB", "from.TRSL", "dead-letter", "correspondence"]),
    st.text(max_size=9),
)
AGENCIES = st.frozensets(st.sampled_from(["MPW", "MOF", "SAB", "TRSL"]), max_size=3)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_nothing_raises_and_nothing_unauthentic_is_answered(court: Court, data: st.DataObject) -> None:
    tokens = {"MPW": _made(court).letter, "SAB": _made(court).letter_of_sab}
    bodies = [*tokens.values(), _made(court).receipt, _made(court).statement]
    part = st.sampled_from(bodies).flatmap(lambda body: st.integers(0, len(body)).map(lambda n: body[:n]))
    body = data.draw(st.one_of(st.sampled_from(bodies), part, st.binary(max_size=60)))
    statement = data.draw(st.one_of(st.none(), st.sampled_from(bodies), st.binary(max_size=20)))
    routing_key, exchange = data.draw(ROUTING_KEYS), data.draw(EXCHANGES)
    knows = Known(data.draw(AGENCIES), data.draw(AGENCIES), data.draw(st.booleans()), data.draw(st.booleans()))
    marks = {"whole": data.draw(st.booleans()), "foreign": data.draw(st.booleans())}
    found = judged(
        court, evidence(body, exchange=exchange, routing_key=routing_key, statement=statement, **marks), knows
    )
    publishers = (
        {exchange[5:]} if exchange in {f"from.{code}" for code in ("MPW", "MOF", "SAB", "TRSL")} else knows.publishers
    )
    if found.addressee is not None:
        assert knows.current
        assert body == tokens[found.addressee]
        assert marks["whole"]
        assert found.addressee in publishers
        assert found.verdict in {Verdict.HELD, Verdict.REFUSED}
        assert found.recipient not in knows.answered_by
    assert set(found.warned) <= publishers - {found.addressee, "TRSL"}
    assert found.addressee is None or routing_key.endswith((".urgent", ".routine"))
    if routing_key.endswith(".notice"):
        assert (found.verdict, found.warned) == (Verdict.FILED, ())
    if found.verdict in {Verdict.FILED, Verdict.WAITING}:
        assert found.addressee is None
        # Who replays a letter is warned of it, even when the letter itself has arrived.
        assert found.warned == () or found.reason == "answered"


@dataclass(frozen=True)
class _Made:
    letter: bytes
    letter_of_sab: bytes
    receipt: bytes
    statement: bytes


_MADE: list[_Made] = []


def _made(court: Court) -> _Made:
    """Signed once: what a property test draws from must not change under it."""
    if not _MADE:
        _MADE.append(_Made(court.letter(), court.letter("SAB"), court.receipt(), court.statement()))
    return _MADE[0]
