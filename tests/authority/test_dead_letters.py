"""The audit on a real broker: who is answered, who is warned, and that true letters come to their true end.

Agencies' adapters run where a scenario needs them; otherwise an agency is its account and its keys. SAB is the agency
that does what it should not: it got a copy of a letter of MPW, so it has MPW's genuine bytes.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import pytest

from broker.management import path
from broker.names import VHOST
from gateway.members import Members
from schemas.statements import build_dead_letter
from tests.authority.bed import AuthorityBed
from tests.support.adapters import AdapterProcess
from trust.token import TokenType, identity_of

FLOOD = 2_000


@pytest.fixture
def genuine(bed: AuthorityBed) -> bytes:
    """A letter that MPW has sent to MOF, with a copy to SAB; it waits in MOF's inbox, as no adapter runs."""
    letter = bed.letter("MPW", "MOF", "SAB")
    with bed.account("MPW") as mpw:
        assert mpw.publish("from.MPW", "MOF.routine", letter) == "ack"
    return letter


def answers(bed: AuthorityBed) -> list[tuple[str, str, str]]:
    """Addressee, kind and recipient of everything that the authority has said, in a fixed order."""
    rows = bed.store("SELECT addressee, kind, recipient FROM answers")
    return sorted((str(to), str(kind).rpartition("/")[2], str(recipient)) for to, kind, recipient in rows)


def quiet(bed: AuthorityBed, entries: int) -> None:
    """Everything has been judged and answered, and nothing that was said came back as a dead letter."""
    bed.wait_audited(entries)
    published = bed.count("answers")
    recorded = partial(bed.count, "journal WHERE publisher = 'TRSL' AND routing_key <> 'read-mark'")
    bed.until(lambda: recorded() == published, "all answers journalled")
    bed.wait_audited(entries)
    assert bed.authority().get("/readyz").status == 200, bed.authority().get("/readyz").body


# A third agency's tricks


def forged(number: int) -> dict[str, object]:
    """Headers with which SAB says that it was MPW, and that MOF's inbox gave it up."""
    death = {"queue": "inbox.MOF.routine", "exchange": "from.MPW", "reason": "delivery_limit", "count": number}
    return {
        "x-death": [death | {"routing-keys": ["MOF.routine"]}],
        "x-first-death-exchange": "from.MPW",
        "x-first-death-queue": "inbox.MOF.routine",
        "x-first-death-reason": "delivery_limit",
        "x-last-death-exchange": "from.MPW",
    }


def test_forged_histories_do_not_make_anybody_else_the_publisher(bed: AuthorityBed, genuine: bytes) -> None:
    bed.start_authority()
    with bed.account("SAB") as sab:
        assert sab.publish("from.SAB", "ZZZ.routine", genuine, headers=forged(1)) == "ack"
        assert sab.publish("from.SAB", "MOF.routine", genuine, headers=forged(2), expiration="1") == "ack"
        assert sab.publish("from.SAB", "MOF.routine", b"junk", headers=forged(3), expiration="1") == "ack"
    drop_first_of_inbox(bed)
    quiet(bed, 3)
    assert sorted(bed.verdicts()) == [
        ("incident", "foreign_exchange"),
        ("incident", "foreign_exchange"),
        ("incident", "token_malformed"),
    ]
    assert {str(publisher) for (publisher,) in bed.store("SELECT publisher FROM dead_letters")} <= {"SAB", "None"}
    assert {to for to, _, _ in answers(bed)} == {"SAB"}
    assert bed.ready_messages("notices.MPW") == 0


def drop_first_of_inbox(bed: AuthorityBed) -> None:
    """MOF takes its letter out of the inbox, so that what stands behind it comes to its head, where it expires."""
    with bed.account("MOF") as mof:
        assert mof.get_body("inbox.MOF.routine") is not None


def test_a_cc_holder_who_lets_a_genuine_letter_expire_does_not_put_it_on_hold(
    bed: AuthorityBed, genuine: bytes
) -> None:
    """MPW's own copy still waits in the inbox: to say that the broker gave it up would be false."""
    bed.start_authority()
    with bed.account("SAB") as sab:
        assert sab.publish("from.SAB", "MOF.routine", genuine, expiration="1") == "ack"
    drop_first_of_inbox(bed)
    quiet(bed, 1)
    assert bed.verdicts() == [("incident", "foreign_exchange")]
    assert answers(bed) == [("SAB", "incident", "")]


def test_a_cc_holder_who_replays_a_letter_to_nobody_is_warned_and_its_sender_hears_nothing(
    bed: AuthorityBed, genuine: bytes
) -> None:
    bed.start_authority()
    with bed.account("SAB") as sab:
        assert sab.publish("from.SAB", "ZZZ.urgent", genuine) == "ack"
        # On 3.10 a copy is not held up by the topic permission; later brokers refuse it.
        copied = sab.publish("from.SAB", "SAB.notice", genuine, headers={"CC": ["MOF.nolane"]})
        assert copied in {"ack", "403"}
        assert sab.publish("from.SAB", "MOF.nolane", genuine) == "403"
    quiet(bed, 1)
    assert bed.verdicts() == [("incident", "foreign_exchange")]
    assert answers(bed) == [("SAB", "incident", "")]
    assert bed.ready_messages("notices.MPW") == 0


def test_a_replay_that_died_before_the_true_copy_does_not_silence_the_authority(bed: AuthorityBed) -> None:
    """The same bytes die twice under the same key: first SAB's copy, then MPW's."""
    bed.start_authority()
    letter = bed.letter("MPW", "MOF", "SAB")
    with bed.account("SAB") as sab, bed.account("MPW") as mpw:
        bed.limit_deliveries("inbox.MOF.routine")
        assert sab.publish("from.SAB", "MOF.routine", letter) == "ack"
        bed.die_of_delivery_limit("MOF", "inbox.MOF.routine")
        bed.until(lambda: bed.verdicts() == [("incident", "foreign_exchange")], "the replay judged")
        assert mpw.publish("from.MPW", "MOF.routine", letter) == "ack"
        bed.die_of_delivery_limit("MOF", "inbox.MOF.routine")
    bed.until(lambda: bed.verdicts() == [("held", "dead_lettered")], "the true copy judged")
    quiet(bed, 1)
    assert answers(bed) == [("MPW", "held", "MOF"), ("SAB", "incident", "")]


def test_a_third_agencys_dead_letter_about_anothers_copy_is_its_incident(bed: AuthorityBed, genuine: bytes) -> None:
    bed.start_authority()
    claims = build_dead_letter(
        agency="SAB",
        recipient="MOF",
        digest=identity_of(genuine),
        reason="not_addressed",
        stage="inbox",
        attempts=2**40,
        exchange="from.MPW",
        routing_key="MOF.routine",
        received_at=1,
        given_up_at=2,
    )
    lie = bed.sign("SAB", claims, TokenType.DEAD_LETTER).decode()
    own = bed.sign("SAB", claims | {"recipient": "SAB", "reason": "nul \0 in it"}, TokenType.DEAD_LETTER).decode()
    with bed.account("SAB") as sab:
        for statement in (lie, "junk", own):
            assert sab.publish("from.SAB", "dead-letter", genuine, headers={"statement": statement}) == "ack"
        assert sab.publish("from.SAB", "dead-letter", genuine) == "ack"
    quiet(bed, 4)
    assert sorted(bed.verdicts()) == [
        ("filed", r"nul \x00 in it"),
        ("incident", "statement_wrong_signer"),
        ("incident", "token_malformed"),
        ("incident", "token_malformed"),
    ]
    assert {to for to, _, _ in answers(bed)} == {"SAB"}


def test_a_dead_letter_that_expires_in_the_audit_itself_is_read_all_the_same(bed: AuthorityBed, genuine: bytes) -> None:
    """In ``dead-letter.SAB`` and in ``dead-letter``: each has another queue behind it, and the worker reads it."""
    queues = ("dead-letter.SAB", "dead-letter", "dead-letter.expired")

    def waiting() -> list[int]:
        return [bed.ready_messages(queue) for queue in queues]

    with bed.account("SAB") as sab:
        # Before the others: a queue looks for the expired at its head alone, and what died once expires no more.
        assert sab.publish("from.SAB", "ZZZ.routine", genuine, expiration="1") == "ack"
        bed.until(lambda: waiting() == [0, 0, 1], "one expired in the audit queue")
        assert sab.publish("from.SAB", "dead-letter", genuine, expiration="1") == "ack"
        assert sab.publish("from.SAB", "dead-letter", b"junk", headers={"statement": "x"}, expiration="1") == "ack"
    bed.until(lambda: waiting() == [0, 2, 1], "two expired in the agency's own")
    bed.start_authority()
    quiet(bed, 3)
    assert sorted(bed.verdicts()) == [
        ("incident", "foreign_exchange"),
        ("incident", "token_malformed"),
        ("incident", "token_malformed"),
    ]
    assert {to for to, _, _ in answers(bed)} == {"SAB"}


@pytest.mark.parametrize("trick", ["unreadable properties", "a time to live in words", "a wall of line feeds"])
def test_a_message_made_to_stop_the_readers_stops_neither(bed: AuthorityBed, trick: str) -> None:
    bed.start_authority()
    with bed.account("SAB") as sab:
        if trick == "unreadable properties":
            assert sab.publish_raw_headers("from.SAB", "ZZZ.routine", b"\x02\xff\xfeS\0\0\0\x01a", b"x") == "ack"
        elif trick == "a wall of line feeds":
            assert sab.publish("from.SAB", "ZZZ.notice", b"\n" * 1_000_000) == "ack"
        else:
            assert sab.publish("from.SAB", "ZZZ.routine", b"x", headers={"x-death": "expired", "CC": []}) == "ack"
        assert sab.publish("from.SAB", "ZZZ.routine", bed.letter("SAB", "ZZZ")) == "ack"
    quiet(bed, 2)
    assert bed.verdicts()[1] == ("refused", "recipient_unknown")
    assert bed.count("journal WHERE publisher = 'SAB'") == 2


def test_an_incident_notice_reaches_the_operators_of_its_account_and_causes_nothing(
    bed: AuthorityBed, genuine: bytes
) -> None:
    """Not a receipt, not a dead letter of its own, not a second notice."""
    bed.start_authority()
    sab = bed.start("SAB")
    with bed.account("SAB") as account:
        for _ in range(2):
            assert account.publish("from.SAB", "ZZZ.urgent", genuine) == "ack"
    bed.until(lambda: sab.get("/v1/incidents").body["items"], "the notice")
    quiet(bed, 1)
    [entry] = sab.get("/v1/incidents").body["items"]
    assert (entry["reason"], entry["digest"], entry["routing_key"]) == (
        "foreign_exchange",
        identity_of(genuine),
        "ZZZ.urgent",
    )
    assert sab.metrics()["tarasul_incident_notices"] == 1
    assert sab.rows("SELECT count(*) FROM quarantine") == [(0,)]
    assert sab.rows("SELECT count(*) FROM receipts_issued") == [(0,)]
    assert "incident_noticed" in sab.tail()


# What happens to honest letters


def test_a_receipt_that_died_is_filed_and_causes_nothing(bed: AuthorityBed) -> None:
    bed.start_authority()
    with bed.account("MOF") as mof:
        assert mof.publish("from.MOF", "ZZZ.notice", b"a receipt") == "ack"
        assert mof.publish("from.MOF", "MPW.notice", b"a receipt", expiration="1") == "ack"
    quiet(bed, 2)
    assert bed.verdicts() == [("filed", "receipt")] * 2
    assert answers(bed) == []


@pytest.fixture
def without_sab(bed: AuthorityBed) -> Iterator[AuthorityBed]:
    """SAB is a member no more, and its queues are gone; the agencies do not know yet."""
    files = {file: file.read_bytes() for file in (bed.home / "directory.jws", bed.home / "members.json")}
    with Members.held(bed.folder) as members:
        members.records = [record for record in members.records if record["code"] != "SAB"]
        members.sign_next(datetime.now(UTC))
    with bed.management() as management:
        for queue in ("inbox.SAB.urgent", "inbox.SAB.routine"):
            management.delete(path("queues", VHOST, queue))
    yield bed
    for file, content in files.items():
        file.write_bytes(content)


def test_a_letter_to_an_agency_that_is_gone_is_refused(without_sab: AuthorityBed) -> None:
    bed = without_sab
    bed.start_authority()
    mpw = bed.start("MPW")
    letter = str(mpw.send("to-sab", ["SAB"]).body["id"])
    bed.until(lambda: mpw.state(letter, "SAB") == "refused", "refused")
    assert mpw.transmissions(letter)["SAB"]["reason"] == "recipient_unknown"
    quiet(bed, 1)
    assert bed.verdicts() == [("refused", "recipient_unknown")]
    assert answers(bed) == [("MPW", "rejected", "SAB")]


def test_an_answer_about_a_copy_that_was_never_sent_changes_no_letter(bed: AuthorityBed) -> None:
    """MPW's account publishes MPW's letter under a key that leads nowhere; the adapter knows nothing of that."""
    bed.start_authority()
    mpw = bed.start("MPW")
    accepted = mpw.send("to-mof", ["MOF"])
    bed.until(lambda: mpw.state(accepted.body["id"], "MOF") == "sent", "sent")
    [(jws,)] = mpw.rows("SELECT letter_jws FROM letters")
    with bed.account("MPW") as raw:
        assert raw.publish("from.MPW", "ZZZ.routine", bytes(jws)) == "ack"
    bed.until(lambda: mpw.rows("SELECT 1 FROM quarantine WHERE relay_state = 2"), "the answer put aside")
    quiet(bed, 2)
    assert bed.verdicts() == [("refused", "recipient_unknown"), ("filed", "receipt_unmatched")]
    assert answers(bed) == [("MPW", "rejected", "ZZZ")]
    assert mpw.state(accepted.body["id"], "MOF") == "sent"


@pytest.fixture
def strangled(bed: AuthorityBed) -> Iterator[AuthorityBed]:
    """MOF's inbox gives up on a message at its third delivery."""
    bed.limit_deliveries("inbox.MOF.routine")
    yield bed
    bed.widen()


def test_a_letter_that_kills_its_reader_is_held_and_may_still_be_delivered(strangled: AuthorityBed) -> None:
    bed = strangled
    bed.start_authority()
    mpw = bed.start("MPW")
    letter = str(mpw.send("poison", ["MOF"]).body["id"])
    bed.until(lambda: mpw.state(letter, "MOF") == "sent", "sent")
    bed.die_of_delivery_limit("MOF", "inbox.MOF.routine")
    bed.until(lambda: mpw.state(letter, "MOF") == "held", "held")
    assert mpw.transmissions(letter)["MOF"]["reason"] == "dead_lettered"
    quiet(bed, 1)
    assert bed.verdicts() == [("held", "dead_lettered")]
    # An operator puts it back: the adapter, mended, takes it.
    [(jws,)] = mpw.rows("SELECT letter_jws FROM letters")
    with bed.account("MPW") as raw:
        assert raw.publish("from.MPW", "MOF.routine", bytes(jws)) == "ack"
    bed.start("MOF")
    bed.until(lambda: mpw.state(letter, "MOF") == "delivered", "delivered after all")
    quiet(bed, 1)
    assert mpw.transmissions(letter)["MOF"]["conflicts"] == 0


def test_a_letter_whose_answer_the_journal_has_not_read_yet_is_not_held(bed: AuthorityBed, genuine: bytes) -> None:
    """MOF has taken one copy and answered it; another copy dies, while the journal stands still before the receipt."""
    bed.start_authority()
    bed.until(lambda: bed.count("journal") == 1, "the letter recorded, so its publisher is known")
    bed.change_store(
        "CREATE TRIGGER lags BEFORE INSERT ON journal WHEN new.publisher = 'MOF' BEGIN SELECT RAISE(ABORT, 'lags'); END"
    )
    mof = bed.start("MOF")
    bed.until(lambda: bed.ready_messages("notices.MPW") == 1, "MOF's receipt, also in the stream")
    mof.terminate()
    assert mof.wait_stopped() == 0, mof.tail()
    with bed.account("MPW") as mpw:
        assert mpw.publish("from.MPW", "MOF.routine", genuine, expiration="1") == "ack"
    bed.until(lambda: bed.count("dead_letters WHERE read_mark IS NOT NULL") == 1, "waiting")
    assert bed.verdicts() == [("waiting", "journal_behind")]
    bed.change_store("DROP TRIGGER lags")
    quiet(bed, 1)
    assert bed.verdicts() == [("filed", "answered")]
    assert answers(bed) == []


def test_a_full_inbox_refuses_and_nothing_reaches_the_audit(bed: AuthorityBed) -> None:
    bed.start_authority()
    bed.narrow("inbox.MOF.routine", 1)
    mpw = bed.start("MPW")
    letters: list[str] = []

    def refused() -> bool:
        # A queue takes one more while it does not know yet that it is full.
        letters.append(str(mpw.send(f"full-{len(letters)}", ["MOF"]).body["id"]))
        return mpw.metrics()["tarasul_messages_refused_total"] >= 1

    bed.until(refused, "a refusal")
    bed.widen()
    bed.start("MOF")
    for letter in letters:
        bed.until(lambda letter=letter: mpw.state(letter, "MOF") == "delivered", "delivered")
    assert bed.count("dead_letters") == 0


# The audit's own queues


def put_aside(mof: AdapterProcess) -> int:
    """How many messages MOF's adapter has put aside and published as dead letters."""
    return int(mof.rows("SELECT count(*) FROM quarantine WHERE relay_state >= 2")[0][0])


def test_a_full_dead_letter_queue_delays_the_record_and_never_an_inbox(bed: AuthorityBed) -> None:
    bed.narrow("dead-letter.MOF", 1)
    mof, mpw = bed.start("MOF"), bed.start("MPW")
    hostile = 0
    with bed.account("SAB") as sab:

        def refused() -> bool:
            nonlocal hostile
            hostile += 1
            assert sab.publish("from.SAB", "MOF.routine", b"junk %d" % hostile) == "ack"
            return mof.metrics()["tarasul_messages_refused_total"] >= 1

        bed.until(refused, "a refusal")
    assert put_aside(mof) < hostile
    letter = str(mpw.send("healthy", ["MOF"]).body["id"])
    bed.until(lambda: mpw.state(letter, "MOF") == "delivered", "delivered past the full queue")
    bed.start_authority()
    bed.widen()
    quiet(bed, hostile)
    assert set(bed.verdicts()) == {("filed", "token_malformed")}


def test_a_flood_of_dead_letters_is_recorded_and_holds_up_nobody(bed: AuthorityBed) -> None:
    bed.start_authority()
    mof, mpw = bed.start("MOF"), bed.start("MPW")
    with bed.account("SAB") as sab:
        for number in range(FLOOD):
            assert sab.publish("from.SAB", "ZZZ.routine", b"junk %d" % number) == "ack"
    letter = str(mpw.send("healthy", ["MOF"]).body["id"])
    bed.until(lambda: mpw.state(letter, "MOF") == "delivered", "delivered beside the flood")
    quiet(bed, FLOOD)
    assert mof.running
    assert bed.count("dead_letters WHERE verdict = 'incident'") == FLOOD
    assert bed.count("answers WHERE addressee = 'SAB'") == FLOOD == bed.count("answers")


def test_an_absent_dead_letter_queue_does_not_stop_the_audit_of_the_others(bed: AuthorityBed) -> None:
    with bed.management() as management:
        management.delete(path("queues", VHOST, "dead-letter.MOF"))
    authority = bed.begin_authority().wait_answering()
    with bed.account("SAB") as sab:
        assert sab.publish("from.SAB", "ZZZ.routine", bed.letter("SAB", "ZZZ")) == "ack"
    bed.wait_audited(1, ("dead-letter",))
    check = authority.check("dead_letter_queues")
    assert (check["ok"], check["status"]) == (False, 503)
    assert "dead-letter.MOF" in check["detail"]
    mof = bed.start("MOF")
    with bed.account("SAB") as sab:
        assert sab.publish("from.SAB", "MOF.routine", b"junk") == "ack"
    # Its record has no queue to go to, but the journal has it.
    bed.until(lambda: put_aside(mof) == 1, "put aside and published")
    bed.until(lambda: bed.count("journal WHERE kind = 'dead_letter' AND publisher = 'MOF'") == 1, "journalled")
    bed.apply_topology()
    authority.wait_ready()
    with bed.account("SAB") as sab:
        assert sab.publish("from.SAB", "MOF.routine", b"more junk") == "ack"
    quiet(bed, 2)
    assert bed.verdicts() == [("refused", "recipient_unknown"), ("filed", "token_malformed")]
    # A minute later the audit fetches what no queue brought, and that alone.
    authority.terminate()
    assert authority.wait_stopped() == 0, authority.tail()
    bed.start_authority(clock_offset=120)
    quiet(bed, 3)
    rows = bed.store("SELECT queue, stage, verdict, reason, copies FROM dead_letters WHERE body = ?", b"junk")
    assert rows == [("dead-letter.MOF", "adapter", "filed", "token_malformed", 1)]
    assert bed.count("dead_letters WHERE copies > 1") == 0


def test_letters_arrive_while_the_authority_is_down_and_the_record_is_complete_afterwards(bed: AuthorityBed) -> None:
    mpw = bed.start("MPW")
    bed.start("MOF")
    bed.start_authority()
    letters = [str(mpw.send("before", ["MOF"]).body["id"])]
    bed.until(lambda: mpw.state(letters[0], "MOF") == "delivered", "delivered")
    bed.authority().kill()
    letters += [str(mpw.send(f"middle-{number}", ["MOF"]).body["id"]) for number in range(20)]
    with bed.account("SAB") as sab:
        assert sab.publish("from.SAB", "MOF.routine", b"junk") == "ack"
        assert sab.publish("from.SAB", "ZZZ.routine", bed.letter("SAB", "ZZZ")) == "ack"
    for letter in letters:
        bed.until(lambda letter=letter: mpw.state(letter, "MOF") == "delivered", "delivered without the authority")
    bed.start_authority()
    quiet(bed, 2)
    recorded = bed.store(
        "SELECT count(DISTINCT digest) FROM journal_tokens WHERE publisher = 'MPW' AND type = 'tarasul-letter+jws'"
    )
    assert recorded == [(len(letters),)]
    delivered = bed.store(
        "SELECT count(DISTINCT about) FROM journal_tokens WHERE publisher = 'MOF' AND type = 'secevent+jwt'"
    )
    assert delivered == [(len(letters),)]
    assert sorted(bed.verdicts()) == [("filed", "token_malformed"), ("refused", "recipient_unknown")]
