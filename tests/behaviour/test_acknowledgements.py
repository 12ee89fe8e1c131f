"""A circular goes to many, and each owes its registration: how far it has come, and who is late."""

from datetime import UTC, datetime, timedelta

from agency_adapter.acknowledgement import acknowledgement_due
from agency_adapter.registry import Registration, Return
from agency_adapter.views import IncomingLetter, OutgoingLetter, Progress
from schemas.reasons import ReturnReason
from schemas.working_time import KUWAIT
from tests.behaviour.bed import Bed, Party, exchange

CIRCULAR = {
    "type": "circular/1",
    "content": {
        "subject": "تعميم بشأن مواعيد العمل",
        "body": "يُرجى الالتزام.",
        "fields": {"circular_no": 9, "year": 2026, "effective_from": "2026-12-01", "audience": "ALL"},
        "signatories": [{"post": "وكيل الوزارة"}],
    },
}
LONG_AFTER = timedelta(days=7).total_seconds()


def at(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def outgoing(party: Party, letter_id: str) -> OutgoingLetter:
    letter = party.adapter.correspondence.letter(letter_id)
    assert isinstance(letter, OutgoingLetter)
    return letter


async def test_a_circular_says_how_many_have_it_and_how_many_have_registered_it(
    bed: Bed, mpw: Party, mof: Party, sab: Party
) -> None:
    sent = await mof.send("MPW", "SAB", **CIRCULAR)
    assert outgoing(mof, sent.letter_id).progress == Progress(
        recipients=2, delivered=0, registered=0, returned=0, overdue=0
    )
    copies = {letter.routing_key.partition(".")[0]: letter for letter in await mof.letters_out()}
    await mpw.receive(copies["MPW"])
    await exchange(mof, mpw)
    assert outgoing(mof, sent.letter_id).progress == Progress(
        recipients=2, delivered=1, registered=0, returned=0, overdue=0
    )
    await sab.receive(copies["SAB"])
    await sab.adapter.correspondence.register(Registration(sent.letter_id, "كاتب السجل"))
    await exchange(mof, sab)
    assert outgoing(mof, sent.letter_id).progress == Progress(
        recipients=2, delivered=2, registered=1, returned=0, overdue=0
    )

    bed.clock.offset += LONG_AFTER
    assert outgoing(mof, sent.letter_id).progress.overdue == 1, "the one that has it and has not registered it"
    await mpw.adapter.correspondence.register(Registration(sent.letter_id, "كاتب السجل"))
    await exchange(mof, mpw)
    assert outgoing(mof, sent.letter_id).progress == Progress(
        recipients=2, delivered=2, registered=2, returned=0, overdue=0
    )


async def test_both_ends_say_until_when_the_registration_is_owed(mpw: Party, mof: Party) -> None:
    sent = await mof.send("MPW", **CIRCULAR)
    assert outgoing(mof, sent.letter_id).transmissions[0].acknowledgement_due is None, "it has not arrived"
    await exchange(mof, mpw)
    arrived = mpw.adapter.correspondence.letter(sent.letter_id)
    assert isinstance(arrived, IncomingLetter)
    assert arrived.acknowledgement_due == acknowledgement_due("circular/1", arrived.received_at, None)
    [transmission] = outgoing(mof, sent.letter_id).transmissions
    assert transmission.acknowledgement_due == acknowledgement_due("circular/1", transmission.ended_at, None)
    assert transmission.acknowledgement_due is not None


async def test_a_circular_sent_back_is_answered_and_owes_no_registration(
    bed: Bed, mpw: Party, mof: Party, sab: Party
) -> None:
    sent = await mof.send("MPW", "SAB", **CIRCULAR)
    copies = {letter.routing_key.partition(".")[0]: letter for letter in await mof.letters_out()}
    for party in (mpw, sab):
        await party.receive(copies[party.code])
        await exchange(mof, party)
    await mpw.adapter.correspondence.return_(Return(sent.letter_id, "كاتب السجل", ReturnReason.NOT_COMPETENT))
    await exchange(mof, mpw)
    bed.clock.offset += LONG_AFTER

    letter = outgoing(mof, sent.letter_id)
    assert letter.progress == Progress(recipients=2, delivered=2, registered=0, returned=1, overdue=1), "SAB's alone"
    of = {each.recipient: each for each in letter.transmissions}
    assert of["MPW"].return_reason == "not_competent"
    assert of["MPW"].returned_at is not None
    assert of["MPW"].acknowledgement_due is None
    assert of["SAB"].acknowledgement_due is not None
    assert of["SAB"].returned_at is None
    at_the_recipient = mpw.adapter.correspondence.letter(sent.letter_id)
    assert isinstance(at_the_recipient, IncomingLetter)
    assert at_the_recipient.acknowledgement_due is None


async def test_a_circular_sent_back_after_its_registration_counts_as_returned_alone(mpw: Party, mof: Party) -> None:
    sent = await mof.send("MPW", **CIRCULAR)
    await exchange(mof, mpw)
    await mpw.adapter.correspondence.register(Registration(sent.letter_id, "كاتب السجل"))
    await mpw.adapter.correspondence.return_(Return(sent.letter_id, "كاتب السجل", ReturnReason.DUPLICATE))
    await exchange(mof, mpw)
    letter = outgoing(mof, sent.letter_id)
    assert letter.progress == Progress(recipients=1, delivered=1, registered=0, returned=1, overdue=0)
    assert letter.transmissions[0].registered_no is not None, "its number is kept"


async def test_an_ordinary_letter_owes_no_registration(bed: Bed, mpw: Party, mof: Party) -> None:
    sent = await mpw.send("MOF")
    await exchange(mpw, mof)
    bed.clock.offset += LONG_AFTER
    letter = outgoing(mpw, sent.letter_id)
    assert letter.progress == Progress(recipients=1, delivered=1, registered=0, returned=0, overdue=None)
    assert letter.transmissions[0].acknowledgement_due is None


def test_the_clock_is_two_working_days_from_the_arrival() -> None:
    thursday = datetime(2026, 11, 26, 9, 0, tzinfo=KUWAIT)
    assert acknowledgement_due("circular/1", at(thursday), None) == at(datetime(2026, 11, 30, 14, 30, tzinfo=KUWAIT))
    assert acknowledgement_due("circular/1", at(thursday.astimezone(UTC)), None) == at(
        datetime(2026, 11, 30, 14, 30, tzinfo=KUWAIT)
    )


def test_a_type_that_this_release_does_not_know_owes_nothing_that_it_could_count() -> None:
    assert acknowledgement_due("circular/9", at(datetime(2026, 11, 26, tzinfo=KUWAIT)), None) is None
